# ruff: noqa: E501  (tables: programs and statements, one a line)
"""Our own problems with one right answer: statements, generators, brute force, programs with known verdicts.

`brute` answers small inputs from the definition; `fast` answers every input by another way; build.py compares the two.
"""

from __future__ import annotations

from math import gcd
from random import Random

SMALL = 40


def piles(rng: Random) -> list[str]:
    numbers = [8, 1, 2, 3, 4, 10**18, 10**18 - 1, *(rng.randint(1, 60) for _ in range(4))]
    return [f"{n}\n" for n in numbers]


def piles_brute(text: str) -> str:
    n = int(text)
    return "YES" if any(a % 2 == 0 and (n - a) % 2 == 0 for a in range(1, n)) else "NO"


def piles_fast(text: str) -> str:
    return "YES" if int(text) > 2 and int(text) % 2 == 0 else "NO"


def divisors(rng: Random) -> list[str]:
    return [f"{n}\n" for n in (6, 1, 16, 97, 999999000001, 10**12, *(rng.randint(1, 10**4) for _ in range(3)))]


def divisors_brute(text: str) -> str:
    return str(sum(d for d in range(1, int(text) + 1) if int(text) % d == 0))


def divisors_fast(text: str) -> str:
    n, total, p = int(text), 1, 2
    while n > 1:
        if p * p > n:
            p = n
        power = 1
        while n % p == 0:
            n, power = n // p, power * p + 1
        total, p = total * power, p + 1
    return str(total)


def fibonacci(rng: Random) -> list[str]:
    pairs = [(10, 100), (1, 7), (2, 1), (10**18, 10**9 + 7), *((rng.randint(1, 25), rng.randint(1, 50)) for _ in range(4))]
    return [f"{n} {m}\n" for n, m in pairs]


def fibonacci_brute(text: str) -> str:
    n, m = map(int, text.split())
    a, b = 0, 1
    for _ in range(n):
        a, b = b, a + b
    return str(a % m)


def fibonacci_fast(text: str) -> str:
    n, m = map(int, text.split())
    a, b, c, d = 1, 0, 0, 1  # powers of the matrix (1 1 / 1 0): [a b / c d]
    w, x, y, z = 1, 1, 1, 0
    while n:
        if n & 1:
            a, b, c, d = (a * w + b * y) % m, (a * x + b * z) % m, (c * w + d * y) % m, (c * x + d * z) % m
        w, x, y, z = (w * w + x * y) % m, (w * x + x * z) % m, (y * w + z * y) % m, (y * x + z * z) % m
        n >>= 1
    return str(b % m)


def inversions(rng: Random) -> list[str]:
    rows = [(5, 3, 1, 7, 4), (1, 0, 0, 1, 0), (30000, 1103515245, 12345, 2147483648, 42)]
    rows += [(rng.randint(2, 30), rng.randint(1, 50), rng.randint(0, 9), rng.randint(2, 60), rng.randint(0, 1)) for _ in range(5)]
    return [" ".join(map(str, row)) + "\n" for row in rows]


def _sequence(text: str) -> list[int]:
    n, a, c, m, x = map(int, text.split())
    out = []
    for _ in range(n):
        out.append(x)
        x = (a * x + c) % m
    return out


def inversions_brute(text: str) -> str:
    v = _sequence(text)
    return str(sum(v[i] > v[j] for i in range(len(v)) for j in range(i + 1, len(v))))


def inversions_fast(text: str) -> str:
    def count(v: list[int]) -> tuple[int, list[int]]:
        if len(v) < 2:
            return 0, v
        (a, left), (b, right) = count(v[: len(v) // 2]), count(v[len(v) // 2 :])
        total, out, j = a + b, [], 0
        for value in left:
            while j < len(right) and right[j] < value:
                out.append(right[j])
                j += 1
            total += j
            out.append(value)
        return total, out + right[j:]

    return str(count(_sequence(text))[0])


def words(rng: Random) -> list[str]:
    out = ["pear fig pear fig apple\n", "a\n", "b a\n"]
    return out + [" ".join(rng.choice(("go", "do", "be", "am", "is")) for _ in range(rng.randint(2, 15))) + "\n" for _ in range(5)]


def words_brute(text: str) -> str:
    given = text.split()
    return "\n".join(f"{w} {given.count(w)}" for w in sorted(set(given), key=lambda w: (-given.count(w), w)))


def switches(rng: Random) -> list[str]:
    out = ["5 2\n1 3\n3 5\n", "1 1\n1 1\n", "3 2\n1 3\n1 3\n"]
    for _ in range(4):
        pairs = [sorted((rng.randint(1, 30), rng.randint(1, 30))) for _ in range(rng.randint(1, 6))]
        out.append(f"30 {len(pairs)}\n" + "".join(f"{a} {b}\n" for a, b in pairs))
    return [*out, "1000000000 2\n1 1000000000\n500000000 500000001\n"]


def switches_brute(text: str) -> str:
    n, _, *ends = map(int, text.split())
    on = [False] * (n + 1)
    for left, right in zip(ends[::2], ends[1::2], strict=True):
        for i in range(left, right + 1):
            on[i] = not on[i]
    return str(sum(on))


def switches_fast(text: str) -> str:
    _, _, *ends = map(int, text.split())
    cuts = sorted(ends[::2] + [right + 1 for right in ends[1::2]])
    return str(sum(b - a for a, b in zip(cuts[::2], cuts[1::2], strict=True)))


def countdown(rng: Random) -> list[str]:
    return [f"{n}\n" for n in (3, 0, 1, 900, rng.randint(5, 50))]


def countdown_brute(text: str) -> str:
    return " ".join(map(str, reversed(range(int(text) + 1))))


def inverse(rng: Random) -> list[str]:
    pairs = [(3, 7), (2, 4), (1, 2), (123456789, 10**12 + 39)]
    pairs += [(rng.randint(1, m), m) for m in (rng.randint(2, 90) for _ in range(5))]
    return [f"{a} {m}\n" for a, m in pairs]


def inverse_brute(text: str) -> str:
    a, m = map(int, text.split())
    return str(next((x for x in range(m) if a * x % m == 1), -1))


def inverse_fast(text: str) -> str:
    a, m = map(int, text.split())
    if gcd(a, m) > 1:
        return "-1"
    r, s, x, y = a % m, m, 1, 0
    while r > 1:
        q = s // r
        r, s, x, y = s - q * r, r, y - q * x, x
        if r == 0:
            break
    return str(x % m)


PROBLEMS = [
    {
        "id": "900/A", "title": "Two even piles", "rating": 800, "cases": piles, "brute": piles_brute, "fast": piles_fast,
        "description": "Can n stones be put into two piles, each of a positive even number of stones?",
        "input": "One integer n (1 <= n <= 10^18).", "output": "YES or NO, in any case.",
        "right": ["n = int(input())\nprint('Yes' if n % 2 == 0 and n > 2 else 'no')\n"],
        "wrong": [("WA", "print('NO' if int(input()) % 2 else 'YES')\n"),
                  ("TLE", "n = int(input())\nprint('YES' if any(a % 2 == 0 and (n - a) % 2 == 0 for a in range(3, n)) or n == 4 else 'NO')\n")],
    },
    {
        "id": "900/B", "title": "Sum of divisors", "rating": 1000, "cases": divisors, "brute": divisors_brute,
        "fast": divisors_fast, "description": "Find the sum of all positive divisors of n.",
        "input": "One integer n (1 <= n <= 10^12).", "output": "The sum.",
        "right": ["n = int(input())\ns, d = 0, 1\nwhile d * d <= n:\n    if n % d == 0:\n        s += d + (n // d if d * d != n else 0)\n"
                  "    d += 1\nprint(s)\n"],
        "wrong": [("TLE", "n = int(input())\nprint(sum(d for d in range(1, n + 1) if n % d == 0))\n"),
                  ("WA", "n = int(input())\nprint(sum(d + n // d for d in range(1, int(n ** 0.5) + 1) if n % d == 0))\n")],
    },
    {
        "id": "900/C", "title": "Fibonacci remainder", "rating": 1400, "cases": fibonacci, "brute": fibonacci_brute,
        "fast": fibonacci_fast, "description": "F(1) = F(2) = 1, F(n) = F(n-1) + F(n-2). Find F(n) modulo m.",
        "input": "Two integers n and m (1 <= n <= 10^18, 1 <= m <= 10^9 + 7).", "output": "F(n) modulo m.",
        "right": ["n, m = map(int, input().split())\ndef f(n):\n    if n == 0:\n        return 0, 1\n    a, b = f(n // 2)\n"
                  "    c, d = a * (2 * b - a) % m, (a * a + b * b) % m\n    return (d, (c + d) % m) if n % 2 else (c, d)\n"
                  "print(f(n)[0] % m)\n"],
        "wrong": [("RE", "n, m = map(int, input().split())\ndef f(n): return 1 if n < 3 else f(n - 1) + f(n - 2)\nprint(f(n) % m)\n"),
                  ("TLE", "n, m = map(int, input().split())\na, b = 0, 1\nfor _ in range(n): a, b = b, (a + b) % m\nprint(a % m)\n")],
    },
    {
        "id": "900/D", "title": "Inversions of a generated row", "rating": 1600, "cases": inversions,
        "brute": inversions_brute, "fast": inversions_fast,
        "description": "A row is generated by v(1) = x, v(i+1) = (a * v(i) + c) mod m. Count the pairs i < j with v(i) > v(j).",
        "input": "Integers n, a, c, m, x (1 <= n <= 30000, 0 <= a, c < m <= 2^31, 0 <= x < m, or a row of one).",
        "output": "The number of pairs.",
        "right": ["from bisect import bisect_right, insort\nn, a, c, m, x = map(int, input().split())\ns, t = [], 0\n"
                  "for i in range(n):\n    t += i - bisect_right(s, x)\n    insort(s, x)\n    x = (a * x + c) % m\nprint(t)\n"],
        "wrong": [("TLE", "n, a, c, m, x = map(int, input().split())\nv = []\nfor i in range(n):\n    v.append(x)\n    x = (a * x + c) % m\n"
                          "print(sum(v[i] > v[j] for i in range(n) for j in range(i + 1, n)))\n"),
                  ("CE", "print((\n"), ("NO_CODE", "")],
    },
    {
        "id": "901/A", "title": "Ranking of words", "rating": 900, "cases": words, "brute": words_brute, "fast": words_brute,
        "description": "List the different words of a line with their counts, the most frequent first, equal counts in alphabetical order.",
        "input": "One line of at most 1000 lower-case words.", "output": "A word and its count on each line.",
        "right": ["from collections import Counter\nfor w, n in sorted(Counter(input().split()).items(), key=lambda p: (-p[1], p[0])):\n    print(w, n)\n"],
        "wrong": [("WA", "from collections import Counter\nfor w, n in Counter(input().split()).most_common():\n    print(w, n)\n")],
    },
    {
        "id": "901/B", "title": "Switches", "rating": 1500, "cases": switches, "brute": switches_brute, "fast": switches_fast,
        "description": "n switches are off. Each of q operations flips all switches from l to r. How many are on in the end?",
        "input": "Integers n and q (1 <= n <= 10^9, 1 <= q <= 1000), then q lines with l and r.", "output": "How many are on.",
        "right": ["n, q = map(int, input().split())\nc = []\nfor _ in range(q):\n    l, r = map(int, input().split())\n    c += [l, r + 1]\n"
                  "c.sort()\nprint(sum(c[i + 1] - c[i] for i in range(0, len(c), 2)))\n"],
        "wrong": [("MLE", "n, q = map(int, input().split())\non = [False] * (n + 1)\nfor _ in range(q):\n    l, r = map(int, input().split())\n"
                          "    for i in range(l, r + 1):\n        on[i] = not on[i]\nprint(sum(on))\n")],
    },
    {
        "id": "901/C", "title": "Countdown", "rating": 800, "cases": countdown, "brute": countdown_brute, "fast": countdown_brute,
        "description": "Count down from n to 0.", "input": "One integer n (0 <= n <= 1000).", "output": "n, n-1, ..., 0.",
        "right": ["n = int(input())\nfor i in range(n, -1, -1):\n    print(i)\n", "print(*range(int(input()), -1, -1))\n"],
        "wrong": [("OLE", "n = int(input())\nwhile True:\n    print(n)\n    n -= 1\n"), ("WA", "print(*range(int(input()), 0, -1))\n"),
                  ("RE", "n = int(input())\nprint(n)\nraise SystemExit(7)\n")],
    },
    {
        "id": "901/D", "title": "Inverse", "rating": 1700, "cases": inverse, "brute": inverse_brute, "fast": inverse_fast,
        "description": "Find x with 0 <= x < m and a * x = 1 modulo m.",
        "input": "Integers a and m (1 <= a <= m, 2 <= m <= 10^13).", "output": "x, or -1 when there is none.",
        "right": ["a, m = map(int, input().split())\ntry:\n    print(pow(a, -1, m))\nexcept ValueError:\n    print(-1)\n"],
        "wrong": [("RE", "a, m = map(int, input().split())\nprint(pow(a, -1, m))\n"),
                  ("WA", "a, m = map(int, input().split())\nprint(pow(a, m - 2, m))\n"),
                  ("TLE", "a, m = map(int, input().split())\nx = 0\nwhile x < m and a * x % m != 1: x += 1\nprint(x if x < m else -1)\n")],
    },
]  # fmt: skip
