"""AppWorld in its own interpreter (appworld only), meant to run in a box: it executes the model's programs."""

import importlib.metadata
import importlib.util
import json
import os
import re

OUTPUT_CHARACTERS = 20_000
INTERACTIONS = 1000


def facts():
    """Versions; one task per process, since the engine freezes the clock and keeps its databases in memory."""
    return {
        "packages": {"appworld": importlib.metadata.version("appworld")}, "sessions": 1,
        "unpacked": importlib.util.find_spec("appworld.apps.supervisor") is not None, "data": has_data(),
    }  # fmt: skip


def has_data():
    """Whether the tasks are there."""
    return os.path.isdir(os.path.join(os.environ.get("APPWORLD_ROOT", ""), "data", "tasks"))


def shorten(text):
    """A program's output without its middle, when it printed more than an observation may hold."""
    if len(text) <= OUTPUT_CHARACTERS:
        return text
    half = OUTPUT_CHARACTERS // 2
    return f"{text[:half]}\n[... {len(text) - 2 * half} characters left out ...]\n{text[-half:]}"


class Episode:
    """One task."""

    def __init__(self, task_id, seed):
        from appworld import AppWorld

        self.world = AppWorld(
            task_id=task_id, experiment_name="creditbench", max_interactions=INTERACTIONS, random_seed=100,
            raise_on_failure=False,
        )  # fmt: skip
        task = self.world.task
        who = " ".join(str(getattr(task.supervisor, name, "")) for name in ("first_name", "last_name", "email"))
        self.first = {"observation": f"Supervisor: {who}\nDate: {task.datetime}\nTask: {task.instruction}\n"}

    def step(self, code):
        """Run one program. The task's own tests decide once it has been declared complete; nothing else is success."""
        output = shorten(str(self.world.execute(code)))
        done = bool(self.world.task_completed())
        info = {"completed": done, "won": False}
        if done:
            tests = self.world.evaluate().to_dict(stats_only=False)
            info |= {"won": bool(tests["success"]), "passes": len(tests["passes"]), "failures": len(tests["failures"])}
        failed = re.match(r"Execution failed", output) is not None
        return {
            "observation": output if output.endswith("\n") else output + "\n", "reward": float(info["won"]),
            "done": done, "valid": not failed, "info": info,
        }  # fmt: skip

    def close(self):
        """Give the databases' memory back."""
        self.world.close()


def open_episode(request, seed):
    """The item's task. AppWorld's own seed stays at its default of 100, so that an episode replays."""
    if not has_data():
        raise RuntimeError("the tasks are not there")
    return Episode(request["meta"]["task"], seed)


def official_scores(successes):
    """The package's own TGC and SGC, in per cent, for {task id: success}."""
    from appworld.evaluator import Metric

    tracked = {name: {"success": bool(ok), "passes": [], "failures": []} for name, ok in successes.items()}
    return json.loads(json.dumps(Metric._compute_metrics(tracked)["aggregate"]))


CALLS = {"official_scores": official_scores}
