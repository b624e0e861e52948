"""Small folders in the layouts of the compositional benchmarks, with made-up pictures and captions; see `benchmark_rules.py`."""
import csv
import json
import random

from PIL import Image, ImageDraw

TYPES = [
    "Orientation", "Presence", "State", "Quantity", "Spatial", "Color", "Structural Character", "Text",
    "Camera Perspective",
]
SUGARCREPE = ["replace_obj", "replace_att", "replace_rel", "swap_obj", "swap_att", "add_obj", "add_att"]
SPEC = ["absolute_size", "relative_size", "absolute_spatial", "relative_spatial", "existence", "count"]
THINGS = ["apple", "tree", "dog", "red car", "small house", "green bottle", "woman", "umbrella"]
PLACES = ["on the left of", "behind", "next to", "under", "in front of", "above"]


class Writer:
    def __init__(self, root, seed=0):
        self.root, self.random = root, random.Random(seed)

    def caption(self):
        first, second = self.random.sample(THINGS, 2)
        return f"the {first} is {self.random.choice(PLACES)} the {second}"

    def picture(self, path, mode="RGB"):
        """Shapes on a ground of one colour, of any size and form."""
        draw = self.random
        color = lambda: tuple(draw.randrange(256) for _ in range(3))
        size = (draw.randrange(40, 140), draw.randrange(40, 140))
        image = Image.new("RGB", size, color())
        for _ in range(4):
            x, y = draw.randrange(size[0] - 20), draw.randrange(size[1] - 20)
            shape = draw.choice(["rectangle", "ellipse"])
            getattr(ImageDraw.Draw(image), shape)([x, y, x + draw.randrange(5, 60), y + draw.randrange(5, 60)], color())
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        image = image.convert(mode)
        if mode == "RGBA":  # transparent in places
            image.putalpha(Image.linear_gradient("L").resize(size))
        image.save(file)

    def text(self, path, text):
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def json(self, path, content):
        self.text(path, json.dumps(content))


def write_all(root):
    write = Writer(root)
    mmvp_vlm(write)
    sugarcrepe(write)
    winoground(write)
    aro(write)
    word_order(write)
    spec(write)


def mmvp_vlm(write):
    folder = "mmvp-vlm/MLLM_VLM Images"
    (write.root / "mmvp-vlm").mkdir(parents=True)
    with open(write.root / "mmvp-vlm/Questions.csv", "w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["Question ID", "Type", "Statement"])
        for number in range(1, 271):
            kind = TYPES[(number - 1) // 30]
            rows.writerow([number, kind, write.caption() + ", seen from above" * (number % 2)])
            write.picture(f"{folder}/{kind}/{number}.jpg")
    # A pair without an image, and one with a broken one.
    (write.root / folder / "State/61.jpg").unlink()
    (write.root / folder / "Text/220.jpg").write_bytes(b"\xff\xd8\xff\xe0 no picture")


def sugarcrepe(write):
    for subset in SUGARCREPE:
        items = {}
        for key in [0, 1, 2, 3, 5, 6, 9, 14, 15, 27]:  # with gaps
            name = f"{write.random.randrange(10**6):012}.jpg"
            write.picture(f"sugarcrepe/val2017/{name}")
            items[str(key)] = dict(filename=name, caption=write.caption(), negative_caption=write.caption())
        write.json(f"sugarcrepe/data/{subset}.json", items)


def winoground(write):
    lines = []
    for number in range(40):
        for image in range(2):
            write.picture(f"winoground/images/ex_{number}_img_{image}.png", ["RGB", "L", "P", "RGBA"][number % 4])
        lines.append(json.dumps(dict(
            id=number, image_0=f"ex_{number}_img_0", image_1=f"ex_{number}_img_1", caption_0=write.caption(),
            caption_1=write.caption(), tag="", secondary_tag="", num_main_preds=1,
            collapsed_tag=["Object", "Relation", "Both"][number % 3],
        )))
    write.text("winoground/examples.jsonl", "\n".join(lines) + "\n")


def aro(write):
    for number in range(8):
        write.picture(f"aro/images/{number}.jpg")

    def item(**more):
        # Boxes may reach over the edge.
        box = dict(bbox_x=write.random.randrange(30), bbox_y=write.random.randrange(30), bbox_w=60, bbox_h=50)
        path = f"{write.random.randrange(8)}.jpg"
        return dict(box, image_path=path, true_caption=write.caption(), false_caption=write.caption(), **more)

    relations = ["riding", "eating", "behind", "next to", "with"]
    pairs = [["red", "green"], ["green", "red"], ["big", "old"]]
    write.json("aro/visual_genome_relation.json", [item(relation_name=relations[i % 5]) for i in range(60)])
    # 30, 25 and 20 items.
    write.json(
        "aro/visual_genome_attribution.json", [item(attributes=pairs[(i >= 30) + (i >= 55)]) for i in range(75)]
    )


def word_order(write):
    cases = []
    for number in range(30):
        write.picture(f"coco-order/val2014/{number}.jpg")
        caption = write.caption().split()
        shuffles = [write.random.sample(caption, len(caption)) for _ in range(3)] + [caption]
        options = [" ".join(words) for words in [caption, *shuffles]]
        cases.append(dict(image=f"val2014/{number}.jpg", caption_options=options))
    write.json("coco-order/coco_order.json", cases)


def spec(write):
    for number, subset in enumerate(SPEC):
        keys = 2 + number % 3
        image_to_text, text_to_image = [], []
        for case in range(12):
            images = [f"images/{case}/{key}.png" for key in range(keys)]
            for image in images:
                write.picture(f"spec/{subset}/{image}")
            texts = [f"{write.caption()}, {key} times" for key in range(keys)]
            label = write.random.randrange(keys)
            image_to_text.append(dict(query=images[label], keys=texts, label=label))
            text_to_image.append(dict(query=texts[label], keys=images, label=label))
        write.json(f"spec/{subset}/image2text.json", image_to_text)
        write.json(f"spec/{subset}/text2image.json", text_to_image)
