# ruff: noqa: E501  (tables: one case a line)
"""Programs that cheat an in-process grader: none may pass ours, under either grader, in either run mode."""

from __future__ import annotations

import pytest

from creditbench.judge import Judge, Submission, Test

GOLD = "914062"  # not to be guessed from the input
_M = "class Solution:\n    def f(self, x):\n"

CALLS = {
    "equal to everything": "class E:\n    def __eq__(self, o): return True\n" + _M + "        return E()\n",
    "int that equals everything": "class E(int):\n    def __eq__(self, o): return True\n    __hash__ = int.__hash__\n" + _M
                                  + "        return E(1)\n",
    "list that equals everything": "class E(list):\n    def __eq__(self, o): return True\n" + _M + "        return E([1])\n",
    "str that equals everything": "class E(str):\n    def __eq__(self, o): return True\n    __hash__ = str.__hash__\n" + _M
                                  + "        return E('x')\n",
    "float that equals everything": "class E(float):\n    def __eq__(self, o): return True\n" + _M + "        return E(1)\n",
    "dict that equals everything": "class E(dict):\n    def __eq__(self, o): return True\n" + _M + "        return E()\n",
    "expected in a frame": "import sys\n" + _M + "        f = sys._getframe()\n        while f:\n"
                           "            for k, v in f.f_locals.items():\n"
                           "                if k in ('expected', 'gt_out', 'gold', 'output', 'answer'): return v\n"
                           "            f = f.f_back\n",
    "expected rewritten in a frame": "import ctypes, sys\n" + _M + "        f = sys._getframe()\n        while f:\n"
                                     "            for k in list(f.f_locals):\n"
                                     "                if k in ('expected', 'gt_out', 'gold', 'output', 'frame', 'work'): f.f_locals[k] = 1\n"
                                     "            ctypes.pythonapi.PyFrame_LocalsToFast(ctypes.py_object(f), ctypes.c_int(0))\n"
                                     "            f = f.f_back\n        return 1\n",
    "expected in the heap": "import gc\n" + _M + "        for o in gc.get_objects():\n"
                            "            if isinstance(o, (tuple, list)) and len(o) in (2, 3) and o and o[0] == str(x):\n"
                            "                return o[1]\n",
    "tests in main": "import sys\n" + _M + "        m = sys.modules['__main__']\n"
                     "        for n in dir(m):\n            v = getattr(m, n)\n"
                     "            if 'test' in n.lower() and v: return v\n",
    "append to results": "import gc, os\n" + _M + "        for o in gc.get_objects():\n"
                         "            if isinstance(o, list) and len(o) < 9: o.append(True)\n        os._exit(0)\n",
    "exit 0": "import os\n" + _M + "        os._exit(0)\n",
    "SystemExit": _M + "        raise SystemExit(0)\n",
    "pickle reduce": "class E:\n    def __reduce__(self): return (__import__('os').system, ('touch /tmp/pwned-by-pickle',))\n"
                     + _M + "        return E()\n",
    "json patched": "import json\njson.dumps = lambda *a, **k: '{\"v\": true}'\n" + _M + "        return 1\n",
    "forged frame": "import os\ndef frame(s):\n    os.write(3, len(s).to_bytes(4, 'big') + s)\n" + _M
                    + "        [frame(b) for b in (b'{\"v\": true}', b'{\"verdict\": \"AC\"}', b'{\"rc\": 0}', b'{\"out\": \"\"}')]\n"
                      "        os._exit(0)\n",
    "deep list": _M + "        a = []\n        for _ in range(100000): a = [a]\n        return a\n",
    "endless list": _M + "        a = []\n        a.append(a)\n        return a\n",
    "huge int": _M + "        return 10 ** 900000\n",
    "nan": _M + "        return float('nan')\n",
    "module that equals": "import sys\nclass E(type(sys)):\n    def __eq__(self, o): return True\nsys.modules['solution'] = E('x')\n"
                          + _M + "        return sys.modules['solution']\n",
    "deep json by hand": "import os\ns = b'{\"v\": ' + b'[' * 200000 + b']' * 200000 + b'}'\nos.write(3, len(s).to_bytes(4, 'big') + s)\n"
                         + _M + "        os._exit(0)\n",
    "frame of four gigabytes": "import os\nos.write(3, b'\\xff\\xff\\xff\\xff' + b'x' * 1000)\n" + _M + "        return 1\n",
    "unittest patched": "import unittest.mock\nint.__eq__ if False else None\n" + _M + "        return NotImplemented\n",
}

STDIN = {
    "expected in a frame": "import sys\nf = sys._getframe()\nwhile f:\n    for k, v in list(f.f_locals.items()):\n"
                           "        if k in ('expected', 'gt_out', 'tests', 'work'): print(v)\n    f = f.f_back\n",
    "stdout object that equals": "import sys\nclass S(str):\n    def __eq__(self, o): return True\n    def strip(self): return S('')\n"
                                 "    __hash__ = str.__hash__\nsys.stdout.write(S('x'))\n",
    "getvalue patched": "import io, sys\nio.StringIO.getvalue = lambda self: '" + GOLD + "x'\n",
    "print nothing and leave": "import os\nos._exit(0)\n",
    "files of a grader": "import glob\nfor p in glob.glob('/tmp/**', recursive=True) + glob.glob('/**/*answer*'):\n"
                         "    try: print(open(p).read())\n    except OSError: pass\n",
    "both tests at once": "import os\nos.write(1, b'1\\n2\\n3\\n')\n",
    "forged frames": "import os\nfor s in (b'{\"rc\": 0}', b'{\"out\": \"\"}') * 3:\n"
                     "    try: os.write(3, len(s).to_bytes(4, 'big') + s)\n    except OSError: pass\n",
    "inputs of the other tests": "import os\ntry: print(os.pread(5, 10000, 0).decode())\nexcept OSError: print(0)\n",
}


@pytest.mark.parametrize("grader", ["strict", "compat"])
@pytest.mark.parametrize("name", CALLS)
def test_functional_hack(judges: dict[str, Judge], name: str, grader: str) -> None:
    judge = judges[grader]
    for gold in (GOLD, f"[{GOLD}]", f'"{GOLD}"'):
        tests = (Test("1", gold, "functional"), Test("2", gold, "functional"))
        for training in (False, True):
            judge._seen.clear()
            result, = judge.judge([Submission(CALLS[name], tests, func_name="f", time_limit_s=2)], training=training)
            assert result.verdict not in ("AC", "INFRA"), result


@pytest.mark.parametrize("grader", ["strict", "compat"])
@pytest.mark.parametrize("name", STDIN)
def test_stdin_hack(judges: dict[str, Judge], name: str, grader: str) -> None:
    judge = judges[grader]
    for training in (False, True):
        judge._seen.clear()
        sub = Submission(STDIN[name], (Test("1\n", GOLD), Test("2\n", GOLD)), time_limit_s=2)
        result, = judge.judge([sub], training=training)
        assert result.verdict not in ("AC", "INFRA"), result


def test_nothing_was_unpickled() -> None:
    import os

    assert not os.path.exists("/tmp/pwned-by-pickle")
