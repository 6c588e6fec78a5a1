"""Writes scores.json: predictions of several cases, and scikit-learn's figures for them.

    pip install scikit-learn
    python crates/resnet/tests/golden/make_scores.py
"""

import json
import random
import warnings
from pathlib import Path

import sklearn
from sklearn.metrics import balanced_accuracy_score, confusion_matrix, precision_recall_fscore_support


def figures(classes, labels, predictions):
    options = {"labels": range(classes), "zero_division": 0}

    def scores(average):
        return precision_recall_fscore_support(labels, predictions, average=average, **options)[:3]

    def named(three):
        return {name: 100 * float(x) for name, x in zip(("precision", "recall", "f1"), three)}

    return {
        "per_class": [named(three) for three in zip(*scores(None))],
        **{average: named(scores(average)) for average in ("macro", "weighted")},
        "balanced_accuracy": 100 * float(balanced_accuracy_score(labels, predictions)),
        "confusion": confusion_matrix(labels, predictions, labels=range(classes)).tolist(),
    }


def random_case(classes, images, right, seed):
    """Predictions of which about this part is right. Classes get rarer."""
    draw = random.Random(seed)
    labels = [int(classes * draw.random() ** 2) for _ in range(images)]
    predict = lambda label: label if draw.random() < right else draw.randrange(classes)
    return classes, labels, [predict(label) for label in labels]


CASES = {
    "all correct": (3, [0, 1, 2, 2], [0, 1, 2, 2]),
    "all wrong": (3, [0, 1, 2], [1, 2, 0]),
    "a class is never predicted": (3, [0, 0, 1, 1, 2], [0, 1, 1, 1, 0]),
    "a class without images is predicted": (4, [0, 0, 1, 2], [0, 3, 1, 3]),
    "a class is neither there nor predicted": (4, [0, 1, 1, 3], [0, 1, 0, 3]),
    "one class of images": (5, [2, 2, 2, 2], [2, 2, 0, 4]),
    "two classes, unbalanced": (2, [0] * 18 + [1] * 2, [0] * 17 + [1, 0, 1]),
    "one class": (1, [0, 0], [0, 0]),
    "ten classes": random_case(10, 200, 0.8, 1),
    "many classes, few images": random_case(40, 60, 0.5, 2),
}

if __name__ == "__main__":
    warnings.simplefilter("ignore")  # Of classes without images or predictions.
    cases = [
        {
            "case": name,
            "classes": classes,
            "labels": labels,
            "predictions": predictions,
            "expected": figures(classes, labels, predictions),
        }
        for name, (classes, labels, predictions) in CASES.items()
    ]
    lines = ",\n".join(json.dumps(case) for case in cases)
    written = f'{{"scikit-learn": "{sklearn.__version__}", "cases": [\n{lines}\n]}}\n'
    (Path(__file__).parent / "scores.json").write_text(written)
