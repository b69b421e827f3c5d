# ruff: noqa: E501  (tables: programs and statements, one a line)
"""Our own problems with several right answers: each has a checker, and right programs that print different answers.

`brute` gives one right answer from the definition; the checker decides about all others. Checkers are called as
`checker.py input.txt correct_output.txt solution_output.txt` and print 1 for a right answer, as in open-r1/codeforces.
"""

from __future__ import annotations

from itertools import combinations, pairwise, permutations, product
from random import Random

SMALL = 100
_READ = "import sys\ngiven, wanted, said = (open(path).read().split() for path in sys.argv[1:4])\n"


def pair(rng: Random) -> list[str]:
    out = ["4 9\n2 7 4 5\n", "2 3\n1 1\n", "2 2\n1 1\n"]
    for _ in range(5):
        n = rng.randint(2, 8)
        out.append(f"{n} {rng.randint(2, 20)}\n{' '.join(str(rng.randint(1, 12)) for _ in range(n))}\n")
    return out


def pair_brute(text: str) -> str:
    n, s, *v = map(int, text.split())
    return next((f"{i + 1} {j + 1}" for i, j in combinations(range(n), 2) if v[i] + v[j] == s), "-1")


PAIR_CHECKER = _READ + """
n, s, v = int(given[0]), int(given[1]), list(map(int, given[2:]))
if wanted == ["-1"] or said == ["-1"]:
    print(int(wanted == said))
else:
    i, j = map(int, said)
    print(int(1 <= i <= n and 1 <= j <= n and i != j and v[i - 1] + v[j - 1] == s))
"""


def apart(rng: Random) -> list[str]:
    return [f"{n}\n" for n in (5, 1, 2, 3, 4, 6, 7)]


def apart_brute(text: str) -> str:
    n = int(text)
    ok = (p for p in permutations(range(1, n + 1)) if all(abs(a - b) != 1 for a, b in pairwise(p)))
    return " ".join(map(str, next(ok, ()))) or "NO"


APART_CHECKER = _READ + """
if wanted == ["NO"] or said == ["NO"]:
    print(int(wanted == said))
else:
    p = list(map(int, said))
    right = sorted(p) == list(range(1, int(given[0]) + 1)) and all(abs(a - b) != 1 for a, b in zip(p, p[1:]))
    print(int(right))
"""


def root(rng: Random) -> list[str]:
    return [f"{a}\n" for a in (27, 0, -8, 2, 1000000, *(rng.randint(-10**6, 10**6) for _ in range(3)))]


def root_brute(text: str) -> str:
    a, low, high = int(text), -200.0, 200.0
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if middle**3 < a else (low, middle)
    return f"{low:.12f}"


ROOT_CHECKER = _READ + """
import math
x, y = float(said[0]), float(wanted[0])
print(int(len(said) == 1 and math.isfinite(x) and abs(x - y) <= 1e-6 * max(1.0, abs(y))))
"""


def maze(rng: Random) -> list[str]:
    out = ["3 3\n...\n.#.\n...\n", "1 1\n.\n", "2 2\n.#\n#.\n"]
    for _ in range(5):
        h, w = rng.randint(2, 5), rng.randint(2, 5)
        cells = [["#" if rng.random() < 0.25 else "." for _ in range(w)] for _ in range(h)]
        cells[0][0] = cells[-1][-1] = "."
        out.append(f"{h} {w}\n" + "".join("".join(row) + "\n" for row in cells))
    return out


def maze_brute(text: str) -> str:
    """Shortest walk by relaxing every cell until nothing changes."""
    h, w, *rows = text.split()
    walk = {(0, 0): ""}
    for _ in range(int(h) * int(w)):
        for (r, c), way in list(walk.items()):
            for step, (dr, dc) in {"R": (0, 1), "D": (1, 0), "L": (0, -1), "U": (-1, 0)}.items():
                at = (r + dr, c + dc)
                inside = 0 <= at[0] < int(h) and 0 <= at[1] < int(w) and rows[at[0]][at[1]] == "."
                if inside and len(way) + 1 < len(walk.get(at, "x" * 999)):
                    walk[at] = way + step
    found = walk.get((int(h) - 1, int(w) - 1))
    return "-1" if found is None else f"{len(found)}\n{found}"


MAZE_CHECKER = _READ + """
h, w, rows = int(given[0]), int(given[1]), given[2:]
if wanted == ["-1"] or said == ["-1"]:
    print(int(wanted == said))
else:
    r = c = 0
    way, good = "".join(said[1:]), said[0] == wanted[0]
    for step in way:
        dr, dc = {"R": (0, 1), "D": (1, 0), "L": (0, -1), "U": (-1, 0)}[step]
        r, c = r + dr, c + dc
        good = good and 0 <= r < h and 0 <= c < w and rows[r][c] == "."
    print(int(good and len(way) == int(wanted[0]) and (r, c) == (h - 1, w - 1)))
"""
_BFS = (
    "from collections import deque\nh, w = map(int, input().split())\ng = [input() for _ in range(h)]\n"
    "seen = {{(0, 0): ''}}\nq = deque([(0, 0)])\nwhile q:\n    r, c = q.{pop}()\n"
    "    for s, a, b in {steps}:\n        x, y = r + a, c + b\n"
    "        if 0 <= x < h and 0 <= y < w and g[x][y] == '.' and (x, y) not in seen:\n"
    "            seen[x, y] = seen[r, c] + s\n            q.append((x, y))\n"
    "way = seen.get((h - 1, w - 1))\nprint(-1 if way is None else f'{{len(way)}}\\n{{way}}')\n"
)
_STEPS = "(('R', 0, 1), ('D', 1, 0), ('L', 0, -1), ('U', -1, 0))"


def subset(rng: Random) -> list[str]:
    out = ["4 9\n3 5 4 8\n", "1 1\n2\n", "3 6\n1 2 3\n"]
    for _ in range(5):
        n = rng.randint(1, 7)
        out.append(f"{n} {rng.randint(1, 25)}\n{' '.join(str(rng.randint(1, 12)) for _ in range(n))}\n")
    return out


def subset_brute(text: str) -> str:
    n, s, *v = map(int, text.split())
    for bits in product((0, 1), repeat=n):
        chosen = [i + 1 for i in range(n) if bits[i]]
        if chosen and sum(v[i - 1] for i in chosen) == s:
            return f"{len(chosen)}\n{' '.join(map(str, chosen))}"
    return "-1"


SUBSET_CHECKER = _READ + """
n, s, v = int(given[0]), int(given[1]), list(map(int, given[2:]))
if wanted == ["-1"] or said == ["-1"]:
    print(int(wanted == said))
else:
    k, ids = int(said[0]), list(map(int, said[1:]))
    good = k == len(ids) == len(set(ids)) and all(1 <= i <= n for i in ids)
    print(int(good and sum(v[i - 1] for i in ids) == s))
"""


def colours(rng: Random) -> list[str]:
    out = ["3 2\n1 2\n2 3\n", "3 3\n1 2\n2 3\n3 1\n", "2 0\n", "1 0\n"]
    for _ in range(5):
        n = rng.randint(3, 6)
        edges = rng.sample(list(combinations(range(1, n + 1), 2)), rng.randint(2, n - 1))
        out.append(f"{n} {len(edges)}\n" + "".join(f"{a} {b}\n" for a, b in edges))
    return out


def colours_brute(text: str) -> str:
    n, _, *ends = map(int, text.split())
    edges = list(zip(ends[::2], ends[1::2], strict=True))
    good = (c for c in product((1, 2), repeat=n) if all(c[a - 1] != c[b - 1] for a, b in edges))
    return " ".join(map(str, next(good, ()))) or "IMPOSSIBLE"


COLOURS_CHECKER = _READ + """
if wanted == ["IMPOSSIBLE"] or said == ["IMPOSSIBLE"]:
    print(int(wanted == said))
else:
    n, ends, c = int(given[0]), list(map(int, given[2:])), list(map(int, said))
    print(int(len(c) == n and set(c) <= {1, 2} and all(c[a - 1] != c[b - 1] for a, b in zip(ends[::2], ends[1::2]))))
"""
_COLOUR = (
    "n, m = map(int, input().split())\nadj = [[] for _ in range(n + 1)]\nfor _ in range(m):\n    a, b = map(int, input().split())\n"
    "    adj[a].append(b)\n    adj[b].append(a)\nc = [0] * (n + 1)\nok = True\nfor s in range(1, n + 1):\n    if c[s]: continue\n"
    "    c[s] = {first}\n    todo = [s]\n    while todo:\n        a = todo.pop()\n        for b in adj[a]:\n"
    "            if c[b] == 0:\n                c[b] = 3 - c[a]\n                todo.append(b)\n            elif c[b] == c[a]: ok = {clash}\n"
    "print(*c[1:]) if ok else print('IMPOSSIBLE')\n"
)
_PAIR = (
    "n, s = map(int, input().split())\nv = list(map(int, input().split()))\nf = [(i, j) for i in range(n) for j in range(n) if i != j "
    "and v[i] + v[j] == s]\nprint(*{shown}) if f else print(-1)\n"
)
_APART = "n = int(input())\nif n in (2, 3): print('NO')\nelse: print(*range({a}, n + 1, 2), *range({b}, n + 1, 2))\n"
_SUBSET = (
    "n, s = map(int, input().split())\nv = list(map(int, input().split()))\nbest = {{0: []}}\nfor i, x in {order}:\n"
    "    for t, w in list(best.items()):\n        if t + x not in best: best[t + x] = w + [i + 1]\n"
    "w = best.get(s)\nprint(-1 if w is None else f\"{{len(w)}}\\n{{' '.join(map(str, w))}}\")\n"
)

PROBLEMS = [
    {
        "id": "902/A", "title": "Pair with a sum", "rating": 900, "cases": pair, "brute": pair_brute, "checker": PAIR_CHECKER,
        "description": "Find two different positions whose numbers add up to s. If there are several such pairs, print any of them.",
        "input": "Integers n and s (2 <= n <= 1000), then n positive integers.", "output": "Two positions from 1 to n, or -1.",
        "right": [_PAIR.format(shown="(f[0][0] + 1, f[0][1] + 1)"), _PAIR.format(shown="(f[-1][0] + 1, f[-1][1] + 1)")],
        "wrong": [("WA", _PAIR.format(shown="f[0]")), ("WA", _PAIR.format(shown="(v[f[0][0]], v[f[0][1]])")),
                  ("WA", "print(-1)\n"), ("WA", "print('garbage')\n")],
    },
    {
        "id": "902/B", "title": "Neighbours apart", "rating": 1200, "cases": apart, "brute": apart_brute, "checker": APART_CHECKER,
        "description": "Order the numbers 1 to n so that no two neighbours differ by exactly 1. Any such order is right.",
        "input": "One integer n (1 <= n <= 1000).", "output": "The order, or NO.",
        "right": [_APART.format(a=2, b=1), "n = int(input())\nif n in (2, 3): print('NO')\nelse: print(*([*range(2, n + 1, 2), *range(1, n + 1, 2)][::-1]))\n"],
        "wrong": [("WA", _APART.format(a=1, b=2)), ("WA", "print(*range(1, int(input()) + 1))\n")],
    },
    {
        "id": "902/C", "title": "Cube root", "rating": 1000, "cases": root, "brute": root_brute, "checker": ROOT_CHECKER,
        "description": "Find the real cube root of a. An absolute or relative error of 10^-6 is right.",
        "input": "One integer a (-10^6 <= a <= 10^6).", "output": "The root.",
        "right": ["a = int(input())\nprint(abs(a) ** (1 / 3) * (1 if a >= 0 else -1))\n", "a = int(input())\nx = 1.0\nfor _ in range(300): x -= (x ** 3 - a) / (3 * x * x or 1)\nprint('%.9f' % x)\n"],
        "wrong": [("WA", "a = int(input())\nprint(round(abs(a) ** (1 / 3) * (1 if a >= 0 else -1), 3))\n"), ("RE", "print(float(input()) ** (1 / 3) // 1e-9 * 1e-9 + 0)\n"),
                  ("WA", "print('nan')\n")],
    },
    {
        "id": "902/D", "title": "Way through a maze", "rating": 1500, "cases": maze, "brute": maze_brute, "checker": MAZE_CHECKER,
        "description": "Walk from the upper left to the lower right cell over free cells (.), in as few steps as possible. If there are several shortest ways, print any.",
        "input": "Integers h and w (at most 100), then h rows of . and #.", "output": "The number of steps and the steps as letters U, D, L, R; -1 when there is no way.",
        "right": [_BFS.format(pop="popleft", steps=_STEPS), _BFS.format(pop="popleft", steps=f"{_STEPS}[::-1]")],
        "wrong": [("WA", _BFS.format(pop="pop", steps="(('L', 0, -1), ('U', -1, 0), ('D', 1, 0), ('R', 0, 1))")),
                  ("WA", _BFS.format(pop="popleft", steps=_STEPS).replace("'R', 0, 1", "'R', 1, 0").replace("'D', 1, 0", "'D', 0, 1"))],
    },
    {
        "id": "902/E", "title": "Numbers for a sum", "rating": 1600, "cases": subset, "brute": subset_brute, "checker": SUBSET_CHECKER,
        "description": "Choose at least one number so that the chosen ones add up to s. Print any valid choice.",
        "input": "Integers n and s (1 <= n <= 100, 1 <= s <= 10^4), then n positive integers.", "output": "How many are chosen and their positions, or -1.",
        "right": [_SUBSET.format(order="enumerate(v)"), _SUBSET.format(order="list(enumerate(v))[::-1]")],
        "wrong": [("WA", "n, s = map(int, input().split())\nv = list(map(int, input().split()))\nw = []\nfor i, x in enumerate(v):\n    if x <= s:\n        s -= x\n"
                         "        w.append(i + 1)\nprint(-1 if s else f\"{len(w)}\\n{' '.join(map(str, w))}\")\n")],
    },
    {
        "id": "902/F", "title": "Two colours", "rating": 1800, "cases": colours, "brute": colours_brute, "checker": COLOURS_CHECKER,
        "description": "Colour the vertices of a graph with colours 1 and 2 so that the ends of every edge differ. If there are multiple ways, print any.",
        "input": "Integers n and m (1 <= n <= 1000, 0 <= m <= 2000), then m edges.", "output": "n colours, or IMPOSSIBLE.",
        "right": [_COLOUR.format(first=1, clash="False"), _COLOUR.format(first=2, clash="False")],
        "wrong": [("WA", _COLOUR.format(first=1, clash="True")), ("WA", "n, m = map(int, input().split())\nprint(*[1 + i % 2 for i in range(n)])\n")],
    },
]  # fmt: skip
