#!/usr/bin/env python3
"""The library as one header and one source file, for a program that takes no build system along:

    amalgamate.py DIRECTORY        writes DIRECTORY/ito.h and DIRECTORY/ito.c
    cc -O2 ito.c yours.c -lm -fopenmp

What needs another library is left out (LEFT_OUT below). Kernels are there for base and, on x86-64,
AVX2: ito.c includes itself once for each instruction set and element type, with other names.

A file of its own has names of its own; in one file they would clash. So a name that a file defines
for itself and that stands elsewhere too gets the file's name behind it, and its macros end where it
ends. What the library's files share gets the prefix ito_private_, as in libito.a.
"""
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SHIMS = ROOT / 'meson' / 'amalgamated'  # take the place of <lapack.h> and <zlib.h>

# What needs cJSON, stb_image, libwebp or more of zlib than a checksum.
LEFT_OUT = ['tensor/io/cifar', 'tensor/io/idx', 'tensor/io/image', 'tensor/io/npz', 'tensor/io/pickle',
            'tensor/io/pytorch', 'tensor/io/weights_npz', 'tensor/io/weights_pytorch', 'tensor/io/zip',
            'nn/checkpoint.', 'nn/checkpoint_json', 'nn/parallel_checkpoint', 'models/classifier/',
            'models/ddpm/compress/', 'models/ddpm/diffusers/', 'models/ddpm/load', 'models/ddpm/settings',
            'models/inception/', 'models/metrics/', 'renamed']

INSTANCES = [(isa, elem) for isa in ('base', 'avx2') for elem in ('f32', 'f64', 'bf16')]

INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]+(["<])([^">]+)[">].*$', re.M)
TOKEN = re.compile(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'|[A-Za-z_]\w*|\S|\s+', re.S)


def left_out(path):
    return any(path.startswith(start) for start in LEFT_OUT)


def resolve(name, at):
    """The path from ROOT of what a file includes by name."""
    for base in (ROOT / Path(at).parent, ROOT):
        path = (base / name).resolve()
        if path.is_file():
            return str(path.relative_to(ROOT))
    raise SystemExit(f'amalgamate: {at} includes "{name}", which is not there')


def read(path):
    return (ROOT / path).read_text()


class Text:
    """Files one after another, each header where it is first asked for."""

    def __init__(self, seen=(), skip=lambda path: False):
        self.seen = set(seen)
        self.system = []  # <...> headers, which stand at the top
        self.skip = skip
        self.shims = {p.name: p for p in SHIMS.glob('*.h')}

    def headers_and_rest(self, path):
        """What a source file includes for the first time, and the file without it."""
        headers = []

        def hoist(text):
            headers.append(text)
            return ''

        rest = self.inline(path, read(path), hoist)
        return ''.join(headers), rest

    def once(self, path, text=None):
        if path in self.seen:
            return ''
        self.seen.add(path)
        return self.inline(path, read(path) if text is None else text, lambda text: text)

    def inline(self, path, text, place):
        """text with what it includes: guarded headers, once, by place(); lists (.def) and headers without a
        guard where they are included, each time."""
        def include(match):
            kind, name = match.groups()
            if kind == '<' and name in self.shims:
                return place(self.once('<' + name + '>', self.shims[name].read_text()))
            if kind == '<' and conditions(text, match.start()) > guarded(path):
                return match.group(0)
            if kind == '<':
                if name not in self.system:
                    self.system.append(name)
                return ''
            inner = resolve(name, path)
            if self.skip(inner):
                return ''
            return place(self.once(inner)) if guarded(inner) else self.inline(inner, read(inner), place)

        return INCLUDE.sub(include, text)


def conditions(text, at):
    """How many #if are open there."""
    found = re.findall(r'^[ \t]*#[ \t]*(if|endif)', text[:at], re.M)
    return found.count('if') - found.count('endif')


def guarded(path):
    return path.endswith('.h') and bool(re.search(r'^#ifndef ITO_(\w+_)?H$', read(path), re.M))


def sources():
    """The library's files as the build has them, in its order."""
    found = []
    for part in ('tensor', 'autograd', 'nn', 'models'):
        build = read(f'{part}/meson.build')
        build = build[build.index(f'{part}_sources'):]
        found += [f'{part}/{name}' for name in re.findall(r"'([\w/]+\.c)'", build)]
    return [path for path in found if not left_out(path) and not path.endswith('image_stb.c')]


# ---- names of one file ----------------------------------------------------------------------------


KEYWORDS = {'_Atomic', '_Alignas', '_Thread_local', 'const', 'volatile', 'unsigned', 'int', 'char', 'float', 'double',
            'void', 'long', 'short', 'bool', 'struct', 'union', 'enum', 'sizeof'}


def tokens(text):
    return TOKEN.findall(text)


def names_defined(text):
    """What a file defines for itself at file scope: functions, variables, types, constants, macros."""
    plain = re.sub(r'/\*.*?\*/|//[^\n]*', ' ', text, flags=re.S)
    macros = set(re.findall(r'^[ \t]*#[ \t]*define[ \t]+(\w+)', plain, re.M))
    plain = re.sub(r'^[ \t]*#(?:[^\n]*\\\n)*[^\n]*', ' ', plain, flags=re.M)
    plain = re.sub(r'"(?:\\.|[^"\\\n])*"', '""', plain)
    plain = re.sub(r"'(?:\\.|[^'\\\n])+'", '0', plain)
    names = set()
    depth, statement, body = 0, '', ''
    for c in plain:  # what stands outside of braces, and the braces' own words
        if c == '{':
            depth += 1
            if depth == 1:
                body = ''
        if depth == 0:
            statement += c
        else:
            body += c
        if c == '}':
            depth -= 1
            if depth == 0:
                if re.search(r'\benum\b[^;()]*$', statement):
                    names |= set(re.findall(r'[{,]\s*([A-Za-z_]\w*)', body))
                statement = re.sub(r'\)\s*$', ')', statement) + '{}'
                if re.search(r'\)\s*\{\}$', statement):
                    names |= declared(statement)
                    statement = ''
        elif c == ';' and depth == 0:
            names |= declared(statement)
            statement = ''
    return {name for name in names - KEYWORDS if not name.startswith('ito_')}, macros


DEFINES = r'(?:static|typedef|_Thread_local|V_FN|T_FN)\b'
ATTRIBUTE = re.compile(r'__attribute__ ?\(\((?:[^()]|\((?:[^()]|\([^()]*\))*\))*\)\)')


def declared(statement):
    statement = ' '.join(statement.rstrip(';').split())
    statement = ATTRIBUTE.sub('', statement).strip()
    after_macro = re.search(r'\) ((?:static|typedef|V_FN|T_FN)\b.*)', statement)
    statement = after_macro.group(1) if after_macro and not re.match(DEFINES, statement) else statement
    names = set(re.findall(r'\b(?:struct|union|enum) (\w+) ?\{\}', statement))
    if statement.startswith('typedef'):
        function = re.search(r'\b(\w+) ?\([^)]*\)$', statement)
        pointer = re.search(r'\(\*(\w+)\)', statement)
        plain = re.search(r'(\w+)$', statement)
        found = pointer or function or plain  # none where a macro makes the name
        names |= {found.group(1)} if found else set()
    elif re.match(DEFINES, statement):
        head = re.sub(r'= ?\{\}|\[[^\]]*\]', '', statement)
        if '=' not in head.split('(')[0] and '(' in head:
            names |= set(re.findall(r'(\w+) ?\(', head)[:1])
        else:
            for part in head.split(','):
                word = re.search(r'(\w+) ?(?:=.*)?$', part)
                names |= {word.group(1)} if word else set()
    return names


DEFINE = re.compile(r'^[ \t]*#[ \t]*define[ \t]+(\w+)\(([^)]*)\)((?:[^\n]*\\\n)*[^\n]*)', re.M)


def made_by_macros(text):
    """Names of static functions that macros of the file make: GATHER(16) may define gather_16."""
    names = set()
    outside = DEFINE.sub('', text)
    for macro, parameters, body in DEFINE.findall(text):
        parameters = [p.strip() for p in parameters.split(',')]
        static = re.match(r'[\s\\]*(?:static|V_FN)\b[^(]*?(\w+(?: *## *\w+)*)\(',
                          ATTRIBUTE.sub('', body))
        pasted = re.fullmatch(r'[\s\\]*(\w+(?: *## *\w+)+)\s*', body)
        uses = (re.findall(rf'^[ \t]*{macro}\(([^()]*)', outside, re.M) if static else
                re.findall(rf'^static [^(;]*\b{macro}\(([^()]*)\)\(', outside, re.M) if pasted else [])
        for use in uses:
            given = dict(zip(parameters, (u.strip() for u in use.split(','))))
            parts = re.split(r' *## *', (static or pasted).group(1))
            names.add(''.join(given.get(part, part) for part in parts))
    return names


def pasting_macros(text, known=()):
    """For each macro the places of those arguments that become a part of a name or a string, there or in
    a macro that it hands them to."""
    found = dict(known)
    defines = [(macro, [p.strip() for p in parameters.split(',')], body)
               for macro, parameters, body in DEFINE.findall(text)]
    before = None
    while before != found:
        before = {macro: set(places) for macro, places in found.items()}
        for macro, parameters, body in defines:
            names = set(re.findall(r'#\s*(\w+)', body) + re.findall(r'(\w+)\s*##', body))
            for inner in re.findall(r'(\w+)\(([^()]*)\)', body):
                arguments = [argument.strip() for argument in inner[1].split(',')]
                names |= {arguments[at] for at in found.get(inner[0], ()) if at < len(arguments)}
            places = {at for at, parameter in enumerate(parameters) if parameter in names}
            if places:
                found[macro] = found.get(macro, set()) | places
    return found


def rename(text, names, suffix, pasting):
    """Each of names with the suffix, but for members of structs and parts of other names."""
    all_tokens = tokens(text)
    words = [i for i, token in enumerate(all_tokens)
             if not token.isspace() and not token.startswith(('/*', '//'))]
    members = 0  # the depth of braces, from that of a struct on
    kept = set()
    for k, i in enumerate(words):
        token = all_tokens[i]
        before = [all_tokens[j] for j in words[max(k - 3, 0):k]]
        after = all_tokens[words[k + 1]] if k + 1 < len(words) else ''
        if token == '{' and (members > 0 or {'struct', 'union'} & set(before[-2:])):
            members += 1
        elif token == '}' and members > 0:
            members -= 1
        if token in pasting and after == '(':
            depth, at = 0, 0
            for j in words[k + 1:]:
                depth += {'(': 1, ')': -1}.get(all_tokens[j], 0)
                at += all_tokens[j] == ',' and depth == 1
                if at in pasting[token]:
                    kept.add(j)
                if depth == 0:
                    break
        if (token not in names or i in kept or before[-1:] == ['.'] or before[-2:] == ['-', '>'] or
                before[-2:] == ['#', '#']):
            continue
        if members == 0 or after not in (';', ',', '[', ':', ')'):
            all_tokens[i] = token + suffix
    return ''.join(all_tokens)


def undefine(macros):
    return ''.join(f'#undef {name}\n' for name in sorted(macros))


# ---- the two files --------------------------------------------------------------------------------

TOP = """/* Ito {version}, the library as one file: see ito.h. Written by ./run amalgamate: change the
 * library's own files instead.
 *
 *     cc -O2 ito.c yours.c -lm -fopenmp
 */
"""

SECTION = """#define KERNEL_ISA {isa}
#define KERNEL_ELEM {elem}
#define KERNEL_F64 {f64}
#define KERNEL_BF16 {bf16}
#include __FILE__
#undef KERNEL_ISA
#undef KERNEL_ELEM
#undef KERNEL_F64
#undef KERNEL_BF16
"""

AVX2 = """#if defined(__x86_64__)
#define KERNEL_AVX2
#ifdef __clang__
#pragma clang attribute push(__attribute__((target("avx2,fma,f16c"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2,fma,f16c")
#endif
{sections}#ifdef __clang__
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif
#undef KERNEL_AVX2
#endif
"""

# a * b + c is two roundings wherever it is not written as one.
NO_CONTRACTION = """#ifdef __clang__
#pragma STDC FP_CONTRACT OFF
#else
#pragma GCC optimize("fp-contract=off")
#endif
#pragma GCC diagnostic ignored "-Wpsabi"
"""


SETTINGS = """#define ITO_BUILD
#define ITO_AMALGAMATED
#define ITO_NO_LAPACK
#define ITO_NO_SLEEF
#define ITO_NO_ZLIB
#define TILES_AMX 0
"""


def version():
    return re.search(r"version: '([^']+)'", read('meson.build')).group(1)


def header():
    text = Text(skip=left_out)
    body = text.once('ito.h')
    top = read('ito.h').split('*/')[0] + '*/\n'
    body = body.replace(top, '')
    system = ''.join(f'#include <{name}>\n' for name in text.system)
    notice = f"""/* Ito {version()}, a reverse-mode automatic differentiation tensor engine with layers and diffusion
 * models, as one header and one source file:
 *     cc -O2 ito.c yours.c -lm -fopenmp
 * Without images, compression, checkpoint directories and LAPACK's factorizations, which need other
 * libraries.
 *
{licence()} */
"""
    guard = '#ifndef ITO_H\n#define ITO_H\n'
    return notice + guard + system + body.replace(guard, ''), text


def licence():
    return ''.join(f' * {line}'.rstrip() + '\n' for line in read('LICENSE').splitlines())


def kernel_files():
    build = read('tensor/meson.build')
    lists = {}
    for name in ('element_kernels', 'real_kernels'):
        start = build.index(name + ' = files(')
        found = re.findall(r"'([\w/]+\.c)'", build[start:build.index(')', start)])
        lists[name] = ['tensor/' + file for file in found]
    return lists['element_kernels'], lists['real_kernels']


def kernel_section(outer):
    """The kernels of one instruction set and element type, and the headers of others that they need."""
    elements, reals = kernel_files()
    text = Text(seen=outer.seen)
    before, parts, names, macros = [], [], set(), set()
    for path in elements + reals:
        headers, rest = text.headers_and_rest(path)
        own, own_macros = names_defined(rest)
        rest = (rename(rest, own, '_' + Path(path).stem, pasting_macros(headers + rest)) +
                undefine(own_macros))
        shared_names, shared_macros = names_defined(headers)
        names |= shared_names | made_by_macros(headers) | made_by_macros(rest)
        names |= {f'{name}_{Path(path).stem}' for name in own}
        macros |= shared_macros
        parts.append(headers)
        parts.append(undefine(own_macros) + (f'#if !KERNEL_BF16\n{rest}#endif\n' if path in reals else rest))
    defines = ''.join(f'#define {name} KERNEL_CAT3({name}, KERNEL_ISA, KERNEL_ELEM)\n' for name in sorted(names))
    undefines = ''.join(f'#undef {name}\n' for name in sorted(names | macros))
    return text, defines + ''.join(parts) + undefines


def is_kernels_own(path):
    """Whether a header is of one compilation of the kernels."""
    name = Path(path).name
    return path.startswith('tensor/kernels/') and name.startswith(('vec', 'pairs', 'tile.h', 'gemm_store.h'))


def source(public, public_text):
    text = Text(seen=public.seen)
    text.system = list(public.system)
    files = []
    for path in ['tensor/kernels/tiles.c'] + sources():
        headers, rest = text.headers_and_rest(path)
        files.append((path, headers, rest))
    for path in sum(kernel_files(), []):  # headers that kernels share with the rest
        for match in INCLUDE.finditer(read(path)):
            if match.group(1) == '"' and guarded(match.group(2)) and not is_kernels_own(match.group(2)):
                files[0] = (files[0][0], files[0][1] + text.once(match.group(2)), files[0][2])
    kernel_text, kernels = kernel_section(text)
    all_headers = public_text + ''.join(headers for _, headers, _ in files)
    header_words = set(tokens(all_headers))
    promised = set(re.findall(r'\b(?:struct|union) (\w+)', all_headers))  # which one file completes
    kernel_words = set(tokens(kernels))
    defined = {path: names_defined(rest) for path, _, rest in files}
    times = {}
    made = {path: made_by_macros(rest) for path, _, rest in files}
    pasting = pasting_macros(all_headers)
    for path, (names, _) in defined.items():
        for name in names | made[path]:
            times[name] = times.get(name, 0) + 1
    out = []
    for path, headers, rest in files:
        names, macros = defined[path]
        clash = {name for name in names - promised
                 if times[name] > 1 or name in header_words or name in kernel_words}
        suffix = '__' + re.sub(r'\W', '_', path[:-2])
        made_here = {name for name in made[path] if times[name] > 1 or name in header_words}
        out.append(headers + f'\n/* ==== {path} ==== */\n' +
                   ''.join(f'#define {name} {name}{suffix}\n' for name in sorted(made_here)) +
                   rename(rest, clash - made_here, suffix, pasting_macros(rest, pasting)) + undefine(macros | made_here))
    system = sorted(set(text.system + kernel_text.system) - {'immintrin.h'})
    base = ''.join(section(isa, elem) for isa, elem in INSTANCES if isa == 'base')
    avx2 = AVX2.format(sections=''.join(section(isa, elem) for isa, elem in INSTANCES if isa == 'avx2'))
    return (TOP.format(version=version()) +
            '#ifndef KERNEL_ISA\n#ifndef _GNU_SOURCE\n#define _GNU_SOURCE\n#endif\n' +
            ''.join(f'#include <{name}>\n' for name in system) +
            '#if defined(__x86_64__)\n#include <immintrin.h>\n#endif\n' + NO_CONTRACTION +
            '@PRIVATE@' + SETTINGS + '#include "ito.h"\n' + ''.join(out) + base + avx2 +
            '\n#else /* the kernels, of KERNEL_ISA and KERNEL_ELEM */\n' + kernels + '#endif\n')


def section(isa, elem):
    return SECTION.format(isa=isa, elem=elem, f64=int(elem == 'f64'), bf16=int(elem == 'bf16'))


def private(directory, text):
    """The names that the files share and no program should see get a prefix."""
    (directory / 'ito.c').write_text(text.replace('@PRIVATE@', ''))
    with tempfile.TemporaryDirectory() as work:
        obj = Path(work) / 'ito.o'
        subprocess.run(['cc', '-O0', '-w', '-fopenmp', '-c', 'ito.c', '-o', str(obj)], cwd=directory, check=True)
        symbols = subprocess.run(['nm', '--extern-only', '--defined-only', str(obj)], check=True,
                                 capture_output=True, text=True).stdout
    names = sorted({line.split()[2] for line in symbols.splitlines()})
    return ''.join(f'#define {name} ito_private_{name}\n' for name in names if not name.startswith('ito_'))


def main(directory):
    directory.mkdir(parents=True, exist_ok=True)
    text, public = header()
    (directory / 'ito.h').write_text(text)
    text = source(public, text)
    (directory / 'ito.c').write_text(text.replace('@PRIVATE@', private(directory, text)))


if __name__ == '__main__':
    if len(sys.argv) != 2:
        raise SystemExit('usage: amalgamate.py DIRECTORY')
    main(Path(sys.argv[1]))
