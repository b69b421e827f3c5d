"""WebShop's rules on an engine of our own: catalogue, search, pages, reward; and the tiny shop (`shop.tiny`)."""

from creditbench.shop.catalogue import Catalogue, Goal, Product, Review
from creditbench.shop.engine import Session, Shop, StepResult, replay
from creditbench.shop.generate import own_catalogue
from creditbench.shop.official import load_official, missing_file, open_catalogue
from creditbench.shop.reward import Reward, purchase_reward
from creditbench.shop.text import NounTagger, lexicon_nouns, parse_action, read_action, spacy_nouns

__all__ = [
    "Catalogue",
    "Goal",
    "NounTagger",
    "Product",
    "Review",
    "Reward",
    "Session",
    "Shop",
    "StepResult",
    "lexicon_nouns",
    "load_official",
    "missing_file",
    "open_catalogue",
    "own_catalogue",
    "parse_action",
    "purchase_reward",
    "read_action",
    "replay",
    "spacy_nouns",
]
