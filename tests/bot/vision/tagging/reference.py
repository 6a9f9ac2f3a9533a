"""SmilingWolf's demo (the wd-tagger Space's app.py), written down as it is: what our tagger must agree with.

Only what needs gradio and pandas is left out; names and steps are the demo's.
"""

import csv

import numpy as np
import onnxruntime as rt
from PIL import Image

kaomojis = [
    *["0_0", "(o)_(o)", "+_+", "+_-", "._.", "<o>_<o>", "<|>_<|>", "=_=", ">_<", "3_3"],
    *["6_9", ">_o", "@_@", "^_^", "o_o", "u_u", "x_x", "|_|", "||_||"],
]


def load_labels(path):
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    tag_names = [x if (x := row["name"]) in kaomojis else x.replace("_", " ") for row in rows]
    rating_indexes = [place for place, row in enumerate(rows) if row["category"] == "9"]
    general_indexes = [place for place, row in enumerate(rows) if row["category"] == "0"]
    character_indexes = [place for place, row in enumerate(rows) if row["category"] == "4"]
    return tag_names, rating_indexes, general_indexes, character_indexes


def mcut_threshold(probs):
    sorted_probs = probs[probs.argsort()[::-1]]
    difs = sorted_probs[:-1] - sorted_probs[1:]
    t = difs.argmax()
    return (sorted_probs[t] + sorted_probs[t + 1]) / 2


class Predictor:
    def __init__(self, folder):
        self.tag_names, self.rating_indexes, self.general_indexes, self.character_indexes = load_labels(
            folder / "selected_tags.csv"
        )
        self.model = rt.InferenceSession(str(folder / "model.onnx"))
        _, height, _, _ = self.model.get_inputs()[0].shape
        self.model_target_size = height

    def prepare_image(self, image):
        target_size = self.model_target_size
        image = image.convert("RGBA")
        canvas = Image.new("RGBA", image.size, (255, 255, 255))
        canvas.alpha_composite(image)
        image = canvas.convert("RGB")
        image_shape = image.size
        max_dim = max(image_shape)
        pad_left = (max_dim - image_shape[0]) // 2
        pad_top = (max_dim - image_shape[1]) // 2
        padded_image = Image.new("RGB", (max_dim, max_dim), (255, 255, 255))
        padded_image.paste(image, (pad_left, pad_top))
        if max_dim != target_size:
            padded_image = padded_image.resize((target_size, target_size), Image.BICUBIC)
        image_array = np.asarray(padded_image, dtype=np.float32)
        image_array = image_array[:, :, ::-1]
        return np.expand_dims(image_array, axis=0)

    def predict(self, image, general_thresh, general_mcut_enabled, character_thresh, character_mcut_enabled):
        image = self.prepare_image(image)
        input_name = self.model.get_inputs()[0].name
        label_name = self.model.get_outputs()[0].name
        preds = self.model.run([label_name], {input_name: image})[0]
        labels = list(zip(self.tag_names, preds[0].astype(float), strict=True))
        ratings_names = [labels[i] for i in self.rating_indexes]
        rating = dict(ratings_names)
        general_names = [labels[i] for i in self.general_indexes]
        if general_mcut_enabled:
            general_probs = np.array([x[1] for x in general_names])
            general_thresh = mcut_threshold(general_probs)
        general_res = dict(x for x in general_names if x[1] > general_thresh)
        character_names = [labels[i] for i in self.character_indexes]
        if character_mcut_enabled:
            character_probs = np.array([x[1] for x in character_names])
            character_thresh = mcut_threshold(character_probs)
            character_thresh = max(0.15, character_thresh)
        character_res = dict(x for x in character_names if x[1] > character_thresh)
        return general_res, character_res, max(rating, key=rating.get)
