"""TextWorld's games in their own interpreter (textworld only): generation, digests, episodes. See creditbench.envs."""

import copy
import hashlib
import importlib.metadata
import os
import re
import sys
import tempfile

import textworld
from textworld.challenges import CHALLENGES

PACKAGES = ("textworld", "jericho")
INFOS = ("admissible_commands", "won", "lost", "score", "max_score", "moves", "objective", "description")
SERIAL = slice(0x12, 0x18)  # of a Z-machine header: the day of compilation


def facts():
    """Versions, and how many games one process can play."""
    return {"packages": {name: importlib.metadata.version(name) for name in PACKAGES}, "sessions": 0}


def digest_of(path):
    """SHA-256 of a story file, the day of its compilation left out."""
    with open(path, "rb") as handle:
        story = bytearray(handle.read())
    story[SERIAL] = b"000000"
    return hashlib.sha256(story).hexdigest()


def lists_of_challenges():
    """(module, name, value) of every list and table in TextWorld's generators."""
    modules = [m for name, m in sorted(sys.modules.items()) if name.startswith("textworld.challenges") and m]
    return [(m, name, value) for m in modules for name, value in vars(m).items() if isinstance(value, dict | list)
            and not name.startswith("__") and name != "CHALLENGES"]


PRISTINE = [(module, name, copy.deepcopy(value)) for module, name, value in lists_of_challenges()]


def make(kind, settings, seed, path):
    """Generate and compile one game; returns it.

    The cooking generator shuffles its module's own lists, so that a game would depend on those made before it in the
    same process, whatever its seeds: every list is put back first.
    """
    for module, name, value in PRISTINE:
        setattr(module, name, copy.deepcopy(value))
    options = textworld.GameOptions()
    options.seeds, options.path, options.file_ext, options.force_recompile = seed, path, ".z8", True
    _, build, _ = CHALLENGES[kind]
    game = build(dict(settings), options)
    textworld.generator.compile_game(game, options)
    return game


def describe(kind, settings, seed):
    """Digest, walkthrough and highest score of a freshly made game, for the stored list."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "game.z8")
        game = make(kind, settings, seed, path)
        return {"sha256": digest_of(path), "walkthrough": list(game.walkthrough), "max_score": game.max_score}


def game_file(game, folder):
    """Path of a game in the folder of games; made there when it is not, refused when its digest is another one."""
    os.makedirs(folder, exist_ok=True)
    path = os.path.join(folder, f"{game['sha256']}.z8")
    if not (os.path.isfile(path) and os.path.isfile(path[:-3] + ".json")):
        with tempfile.TemporaryDirectory(dir=folder) as private:
            fresh = os.path.join(private, "game.z8")
            make(game["kind"], game["settings"], game["seed"], fresh)
            found = digest_of(fresh)
            if found != game["sha256"]:
                raise ValueError(f"game {game['kind']} seed {game['seed']}: digest {found}, expected {game['sha256']}")
            os.replace(fresh[:-3] + ".json", path[:-3] + ".json")
            os.replace(fresh, path)
    elif digest_of(path) != game["sha256"]:
        raise ValueError(f"{path}: not the game it is named after")
    return path


class Episode:
    """One play of one game."""

    def __init__(self, game, commands, folder):
        self.env = textworld.start(
            game_file(game, folder), request_infos=textworld.EnvInfos(**dict.fromkeys(INFOS, True))
        )
        self.commands = commands
        self.state = self.env.reset()
        opening = f"{self.state.objective}\n\n{tidy(self.state.description)}"
        self.first = {"observation": self.show(opening), "admissible": self.admissible}

    @property
    def admissible(self):
        """The commands that do something now, sorted."""
        return sorted(self.state.admissible_commands or ())

    def show(self, text):
        """The text, with the commands when asked for."""
        return f"{text}\nCommands: {'; '.join(self.admissible)}\n" if self.commands else f"{text}\n"

    def step(self, action):
        """Take one command. `done` is what the engine says, `won` is what counts."""
        valid = action in self.admissible
        self.state, score, done = self.env.step(action or "wait")
        won, most = bool(self.state.won), self.state.max_score or 1
        share = 1.0 if won else min(max(score / most, 0.0), 1.0)
        info = {
            "won": won, "lost": bool(self.state.lost), "score": score, "max_score": most, "normalised_score": share,
            "moves": self.state.moves,
        }  # fmt: skip
        return {
            "observation": tidy(self.state.feedback) + "\n" if done else self.show(tidy(self.state.feedback)),
            "reward": share, "done": bool(done), "valid": valid, "admissible": [] if done else self.admissible,
            "info": info,
        }  # fmt: skip

    def close(self):
        """Give the interpreter's memory back."""
        self.env.close()


def tidy(text):
    """Feedback without the interpreter's prompt, status line, banner and blank runs."""
    text = re.sub(r"\n>[ ]*(-= .*? =-.*)?$", "", text.rstrip())
    text = text.split("Would you like to RESTART", 1)[0]
    return re.sub(r"\n{3,}", "\n\n", text).strip()


def open_episode(request, seed):
    """A play of `meta.game`. Nothing is drawn: `seed` acts nowhere."""
    meta = request["meta"]
    return Episode(meta["game"], meta["commands"], os.environ["CREDITBENCH_GAMES"])


CALLS = {"describe": describe}
