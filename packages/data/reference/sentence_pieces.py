"""Two small SentencePiece models in the layouts of SigLIP's and SigLIP 2's tokenizers, and sentencepiece's own ids.

    python3 sentence_pieces.py        needs the `sentencepiece` module, and what clip_texts.py needs

writes tokenizers/siglip (unigram, as T5's: pad 0, end 1, unknown 2), tokenizers/siglip2 (byte pairs with byte fallback, as
Gemma's: pad 0, end 1, start 2, unknown 3), each a tokenizer.json; tokenizers/spiece and tokenizers/spiece-bpe, which hold
sentencepiece's own files (without its table of characters, which is large); and sentence-pieces.json with texts, canonical texts
and the ids of the first three.
"""
import io
import json
import random
import re
import string
from pathlib import Path

import sentencepiece

from clip_texts import clean

here = Path(__file__).parent
SENTENCES = '''a photo of a small red apple next to a green pear on a wooden table
two dogs run along the beach while a child throws a ball into the water
an old bicycle leans against a blue wall below an open window
the picture shows a plate of pasta with tomatoes and basil
a cat sleeps on a striped blanket and dreams of mice
three people walk through the rain with yellow umbrellas
a street at night with many lights and wet cobblestones
the left box is larger than the right box but not as tall
five birds sit on a wire above the railway station
a close view of a flower with seven petals and a bee
ein kleiner hund liegt auf dem sofa und schaut aus dem fenster
une photo de deux chevaux dans un champ près de la rivière
un gato negro duerme sobre una silla roja 2 3 4 5 10 12 20 2024
café naïve über straße señor'''.split('\n')


def trained(**options):
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(SENTENCES), model_writer=model, minloglevel=2, hard_vocab_limit=False, **options)
    return sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())


def canonical(text):
    """As open_clip and big_vision have it."""
    text = clean(text).replace('_', ' ').translate(str.maketrans('', '', string.punctuation)).lower()
    return re.sub(r'\s+', ' ', text).strip()


def save(model, name):
    folder = here / 'tokenizers' / name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / 'spiece.model').write_bytes(model.serialized_model_proto())


def vocabulary(model):
    return [(model.id_to_piece(i), model.get_score(i)) for i in range(model.get_piece_size())]


def special(model, *pieces):
    rest = {'single_word': False, 'lstrip': False, 'rstrip': False, 'normalized': False, 'special': True}
    return [{'id': model.piece_to_id(piece), 'content': piece, **rest} for piece in pieces]


def ending(piece, i):
    single = [{'Sequence': {'id': 'A', 'type_id': 0}}, {'SpecialToken': {'id': piece, 'type_id': 0}}]
    return {'type': 'TemplateProcessing', 'single': single, 'pair': single, 'special_tokens': {piece: {'id': piece, 'ids': [i], 'tokens': [piece]}}}


def write(name, description):
    folder = here / 'tokenizers' / name
    folder.mkdir(parents=True, exist_ok=True)
    whole = {'version': '1.0', 'truncation': None, 'padding': None, **description}
    (folder / 'tokenizer.json').write_text(json.dumps(whole, ensure_ascii=False, separators=(',', ':')) + '\n', 'utf8')


def siglip():
    model = trained(model_type='unigram', vocab_size=320, pad_id=0, eos_id=1, unk_id=2, bos_id=-1, pad_piece='<pad>')
    metaspace = {'type': 'Metaspace', 'replacement': '▁', 'prepend_scheme': 'always', 'split': True}
    write('siglip', {
        'added_tokens': special(model, '<pad>', '</s>', '<unk>'),
        'normalizer': {'type': 'Precompiled', 'precompiled_charsmap': ''},
        'pre_tokenizer': {'type': 'Sequence', 'pretokenizers': [{'type': 'WhitespaceSplit'}, metaspace]},
        'post_processor': ending('</s>', 1), 'decoder': metaspace,
        'model': {'type': 'Unigram', 'unk_id': 2, 'vocab': vocabulary(model), 'byte_fallback': False},
    })
    return model


def spiece():
    model = trained(model_type='unigram', vocab_size=320, pad_id=0, eos_id=1, unk_id=2, bos_id=-1, pad_piece='<pad>', normalization_rule_name='identity')
    save(model, 'spiece')
    return model


def siglip2():
    model = trained(model_type='bpe', vocab_size=600, pad_id=0, eos_id=1, bos_id=2, unk_id=3, pad_piece='<pad>', eos_piece='<eos>',
                    bos_piece='<bos>', byte_fallback=True, split_digits=True, normalization_rule_name='identity',
                    add_dummy_prefix=False, remove_extra_whitespaces=False)
    save(model, 'spiece-bpe')
    ids = {piece: i for i, (piece, _) in enumerate(vocabulary(model))}
    merges = []
    for piece, score in sorted(vocabulary(model), key=lambda one: -one[1]):
        i = ids[piece]
        if model.is_control(i) or model.is_byte(i) or model.is_unknown(i):
            continue
        pairs = [(piece[:k], piece[k:]) for k in range(1, len(piece)) if piece[:k] in ids and piece[k:] in ids]
        merges += sorted(pairs, key=lambda pair: (ids[pair[0]], ids[pair[1]]))
    write('siglip2', {
        'added_tokens': special(model, '<pad>', '<eos>', '<bos>', '<unk>'),
        'normalizer': {'type': 'Replace', 'pattern': {'String': ' '}, 'content': '▁'},
        'pre_tokenizer': {'type': 'Split', 'pattern': {'String': ' '}, 'behavior': 'MergedWithPrevious', 'invert': False},
        'post_processor': ending('<eos>', 1), 'decoder': {'type': 'Fuse'},
        'model': {'type': 'BPE', 'dropout': None, 'unk_token': '<unk>', 'continuing_subword_prefix': None, 'end_of_word_suffix': None,
                  'fuse_unk': True, 'byte_fallback': True, 'ignore_merges': False, 'vocab': ids, 'merges': merges},
    })
    return model


def texts():
    chance = random.Random(5)
    words = ' '.join(SENTENCES).split()
    chosen = ['', 'A photo of two DOGS!', 'a_red_apple, next-to: "it"', '  spaced   out ', 'zebra xylophone', 'café NAÏVE straße', '你好 world',
              '😀 smile', 'a1b22c333', "it's the child's", '<eos> </s> <pad>', 'ﬁne １２', 'dogs' * 20, 'x' * 70, '▁under▁', 'Ω ω ß']
    for _ in range(250):
        parts = [chance.choice([chance.choice(words), chance.choice(words).upper(), ''.join(chance.choices(string.ascii_lowercase, k=chance.randint(1, 6))),
                                str(chance.randint(0, 3000)), chance.choice(list('éüñßçåø你好😀.,!-_')), chance.choice(words) + chance.choice('.,!?')])
                 for _ in range(chance.randint(1, 9))]
        chosen.append(' '.join(parts))
    return chosen


def main():
    models = {'siglip': siglip(), 'siglip2': siglip2(), 'spiece': spiece()}
    cases = []
    for text in texts():
        clean_text = canonical(text)
        # The usual table of characters, which the model of `spiece` lacks, takes ▁ for a space.
        spaced = {'spiece': ' '.join(clean_text.replace('▁', ' ').split())}
        cases.append([text, clean_text, *(model.encode(spaced.get(name, clean_text)) + [1] for name, model in models.items())])
    sizes = {name: model.get_piece_size() for name, model in models.items()}
    body = ',\n'.join('  ' + json.dumps(case, ensure_ascii=False, separators=(',', ':')) for case in cases)
    version = json.dumps(sentencepiece.__version__)
    (here / 'sentence-pieces.json').write_text(
        f'{{\n "sentencepiece": {version},\n "sizes": {json.dumps(sizes)},\n "cases": [\n{body}\n ]\n}}\n', 'utf8')


if __name__ == '__main__':
    main()
