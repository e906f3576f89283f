#!/usr/bin/env python3
"""The part of the package that is made from the public headers, so that it cannot differ from them.

    generate.py INCLUDE DIRECTORY     writes _c.py and operations.py there
    generate.py INCLUDE --layout      prints a C program that tells sizes, offsets and defaults

INCLUDE is the directory of <ito/ito.h>. The headers are read by the C preprocessor (of CC, or cc) and
pycparser. _c.py has each struct, enum and function for ctypes; operations.py has a Python function for each
function of the headers named below whose arguments Python has: tensors, numbers, shapes, options by name.
"""
import keyword
import os
import re
import subprocess
import sys
from pathlib import Path

from pycparser import c_ast, c_generator, c_parser

OPERATIONS = re.compile(r"ito/(autograd/|tensor/(tensor|random|runtime)\.h|tensor/io/(npy|image)\.h)")
# Those that the package has by hand, or that mean nothing there.
BY_HAND = {"ito_" + name for name in """
    grads stride to_string dtype_of shape_of ndim numel size split_sizes unbind chunks tensor_split meshgrid
    error at version item has_grad_path grad_of requires_grad no_grad_begin no_grad_end
    enable_grad_begin enable_grad_end autocast_begin autocast_end memory_fail_nth values_of
    """.split()}
NUMBERS = {
    "_Bool": "c_bool", "char": "c_char", "int": "c_int", "unsigned int": "c_uint", "unsigned": "c_uint",
    "float": "c_float", "double": "c_double", "size_t": "c_size_t", "int64_t": "c_int64",
    "uint64_t": "c_uint64", "int32_t": "c_int32", "uint32_t": "c_uint32", "uint16_t": "c_uint16",
    "uint8_t": "c_uint8", "int8_t": "c_int8", "int16_t": "c_int16",
}
PRELUDE = "".join(f"typedef int {name};" for name in [*[n for n in NUMBERS if n.endswith("_t")], "FILE"])


# ---- reading the headers

def preprocess(include, *options, text="#include <ito/ito.h>\n"):
    command = [os.environ.get("CC", "cc").split()[-1], "-E", "-xc", "-DITO_BUILD", "-D__attribute__(x)=",
               "-D__extension__=", f"-I{include}", *options, "-"]
    return subprocess.run(command, input=text, capture_output=True, text=True, check=True).stdout


def of_ito(text):
    """(header, line) of what the headers of Ito have, without what they include of others."""
    header = ""
    for line in text.splitlines():
        marker = re.match(r'# \d+ "(.*?)"', line)
        if marker:
            header = marker[1]
        elif not line.startswith("#") and (re.search(r"(^|/)ito/", header) or header == "<stdin>"):
            yield header[header.rfind("ito/") if "ito/" in header else 0:], line


class Headers:
    """What the public headers declare, in their order."""

    def __init__(self, include):
        macros = dict(re.findall(r"^#define (\w+)(?:\(.*?\))? ?(.*)$", preprocess(include, "-dM"), re.M))
        self.with_defaults = [name[len("ITO_DEFAULTS_"):] for name in macros
                              if name.startswith("ITO_DEFAULTS_ito_")]
        values = "".join(f"static {name} defaults_of_{name} = {{ITO_DEFAULTS_{name}}};\n"
                         for name in self.with_defaults)
        lines = list(of_ito(preprocess(include, text="#include <ito/ito.h>\n" + values)))
        self.structs, self.enums, self.functions, self.types, self.variables = {}, {}, {}, {}, {}
        self.constants, self.defaults, self.header = {}, {}, {}
        for header, line in lines:
            for name in re.findall(r"\b(ito_\w+)\(", line):
                self.header.setdefault(name, header)
        text = PRELUDE + "\n".join(line for _, line in lines)
        for node in c_parser.CParser().parse(text).ext:
            self.declare(node)
        # The name that users call: ito_sum is a macro of ito_sum_with.
        self.public = {}
        for macro, body in macros.items():
            called = [f for f in re.findall(r"\bito_\w+", body) if f in self.functions]
            if re.fullmatch(r"ito_\w+", macro) and called and called[0] != macro:
                self.public.setdefault(called[0], macro)
        self.docs = {}
        for header in {h for h, _ in lines if h.startswith("ito/")}:
            source = (Path(include) / header).read_text()
            for doc, name in re.findall(r"/\*\*((?:(?!\*/).)*)\*/\s*ITO_API[^;{]*?\b(ito_\w+)\(", source, re.S):
                self.docs[name] = "\n".join(re.sub(r"^\s*\* ?", "", line).rstrip()
                                            for line in doc.strip().splitlines()).strip()

    def declare(self, node):
        if isinstance(node, c_ast.FuncDef):
            return
        self.define(node.type)
        if isinstance(node, c_ast.Typedef):
            self.types[node.name] = node.type
        elif isinstance(node.type, c_ast.FuncDecl):
            self.functions[node.name] = node.type
        elif node.name and node.name.startswith("defaults_of_"):
            self.defaults[node.name[len("defaults_of_"):]] = node.init
        elif node.name and node.name.startswith("ito_"):
            self.variables[node.name] = node.type

    def define(self, node):
        inner = node.type if isinstance(node, c_ast.TypeDecl) else node
        if isinstance(inner, c_ast.Enum) and inner.values:
            value, names = -1, {}
            for entry in inner.values.enumerators:
                value = self.number(entry.value) if entry.value else value + 1
                names[entry.name] = self.constants[entry.name] = value
            name = inner.name or (node.declname if isinstance(node, c_ast.TypeDecl) else None)
            if name:
                self.enums[name] = names
        elif isinstance(inner, c_ast.Struct) and inner.decls:
            for field in inner.decls:
                self.define(field.type)
            self.structs[inner.name] = inner.decls

    def number(self, node):
        """The value of a constant expression."""
        if isinstance(node, c_ast.Constant):
            text = node.value.rstrip("uUlL") if node.type != "double" else node.value.rstrip("fFlL")
            return float(text) if "double" in node.type or "float" in node.type else int(text, 0)
        if isinstance(node, c_ast.ID):
            return self.constants[node.name]
        if isinstance(node, c_ast.Cast):
            return self.number(node.expr) if not self.is_pointer(node.to_type.type) else None
        if isinstance(node, c_ast.UnaryOp) and node.op in "+-":
            return -self.number(node.expr) if node.op == "-" else self.number(node.expr)
        if isinstance(node, c_ast.BinaryOp) and node.op in ("+", "-", "*", "<<", "|"):
            return eval(f"a {node.op} b", {"a": self.number(node.left), "b": self.number(node.right)})
        if isinstance(node, c_ast.FuncCall) and re.match("__builtin_(inf|nan|huge_val)", node.name.name):
            return float("nan" if "nan" in node.name.name else "inf")
        raise SystemExit(f"generate.py: cannot evaluate {c_generator.CGenerator().visit(node)}")

    @staticmethod
    def is_pointer(node):
        return isinstance(node, (c_ast.PtrDecl, c_ast.ArrayDecl))

    def named(self, node):
        """The name of a type that is one: "int64_t", "ito_shape"; None of a pointer."""
        if not isinstance(node, c_ast.TypeDecl):
            return None
        inner = node.type
        return inner.name if not isinstance(inner, c_ast.IdentifierType) else " ".join(inner.names)


# ---- _c.py

def ctype(h, node, result=False):
    """The ctypes expression of a C type."""
    if isinstance(node, c_ast.ArrayDecl):
        return f"({ctype(h, node.type)} * {h.number(node.dim)})" if node.dim else f"POINTER({ctype(h, node.type)})"
    if isinstance(node, c_ast.FuncDecl):
        return callback(h, node)
    if isinstance(node, c_ast.PtrDecl):
        return pointer(h, node.type, result)
    name = h.named(node)
    if name in NUMBERS:
        return NUMBERS[name]
    if name in h.enums:
        return "c_int"
    if name in h.structs:
        return name
    if name == "void":
        return "None"
    return ctype(h, h.types[name])


def pointer(h, target, result):
    name = h.named(target)
    if isinstance(target, c_ast.FuncDecl):
        return callback(h, target)
    if name in h.types and isinstance(h.types[name], c_ast.FuncDecl):
        return name
    if name == "char":
        return "c_char_p" if "const" in target.quals or not result else "c_void_p"
    if name in h.structs:
        return f"POINTER({name})"
    if name is not None and (name in ("void", "FILE") or opaque(h, name)):
        return "c_void_p"
    return f"POINTER({ctype(h, target)})"


def opaque(h, name):
    node = h.types.get(name)
    return name not in NUMBERS and name not in h.enums and (node is None or isinstance(node, c_ast.TypeDecl)
            and isinstance(node.type, c_ast.Struct) and node.type.name not in h.structs)


def parameters(h, function):
    params = function.args.params if function.args else []
    return [p for p in params if not isinstance(p, c_ast.EllipsisParam) and h.named(p.type) != "void"]


def callback(h, function):
    return f"CFUNCTYPE({', '.join([ctype(h, function.type)] + [ctype(h, p.type) for p in parameters(h, function)])})"


def variadic(function):
    return bool(function.args) and any(isinstance(p, c_ast.EllipsisParam) for p in function.args.params)


def default(h, name, node):
    """The keyword arguments of a struct's defaults."""
    values = {}
    fields = h.structs[name]
    for i, entry in enumerate(node.exprs):
        named = isinstance(entry, c_ast.NamedInitializer)
        field = next(f for f in fields if f.name == entry.name[0].name) if named else fields[i]
        value = entry.expr if named else entry
        kind = h.named(field.type)
        if isinstance(field.type, c_ast.ArrayDecl):
            numbers = ", ".join(str(h.number(e)) for e in value.exprs)
            values[field.name] = f"({ctype(h, field.type)})({numbers})"
        elif kind in h.structs:
            values[field.name] = f"{kind}({default(h, kind, value)})"
        else:
            number = h.number(value)
            values[field.name] = literal(float(number) if kind == "double" else number)
    return ", ".join(f"{k}={v}" for k, v in values.items() if v != "None")


def literal(value):
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        return f'float("{value}")'
    return repr(value)


def write_c(h, out):
    print('"""The C interface, made by generate.py from the public headers: structs, enums, functions."""', file=out)
    print("from ctypes import *  # noqa: F403\n", file=out)
    for name in h.structs:
        print(f"class {name}(Structure):\n    pass\n", file=out)
    ready, functions = set(), [n for n, t in h.types.items() if isinstance(t, c_ast.FuncDecl)]

    def complete(name):
        """Structs that are held by value come first, and so does what a callback takes by value."""
        if name in ready:
            return
        ready.add(name)
        for field in h.structs[name]:
            inner = field.type
            while isinstance(inner, c_ast.ArrayDecl):
                inner = inner.type
            if h.named(inner) in h.structs:
                complete(h.named(inner))
        later.append(name)

    later = []
    for name in h.structs:
        complete(name)
    for name in functions:
        print(f"{name} = {callback(h, h.types[name])}", file=out)
    for name in later:
        fields = ", ".join(f'("{f.name}", {ctype(h, f.type)})' for f in h.structs[name])
        print(f"{name}._fields_ = [{fields}]", file=out)
    print("\nENUMS = " + repr(h.enums), file=out)
    print("\nVARIABLES = " + repr(sorted(h.variables)), file=out)
    print("\nDEFAULTS = {", file=out)
    for name in sorted(h.with_defaults):
        print(f'    "{name}": lambda: {name}({default(h, name, h.defaults[name])}),', file=out)
    print("}\n\nFUNCTIONS = {", file=out)
    for name, f in h.functions.items():
        if not variadic(f):
            types = ", ".join(ctype(h, p.type) for p in parameters(h, f))
            print(f'    "{name}": ({ctype(h, f.type, result=True)}, [{types}]),', file=out)
    print("}", file=out)


# ---- operations.py

def role(h, node):
    """What Python gives for a parameter or a field of this type; None: it cannot."""
    name = h.named(node)
    if isinstance(node, c_ast.PtrDecl):
        target = h.named(node.type)
        if target == "ito_tensor":
            return "tensor"
        if isinstance(node.type, c_ast.PtrDecl) and h.named(node.type.type) == "ito_tensor":
            return "tensors" if "const" in node.type.quals else "out"
        if target == "ito_generator":
            return "generator"
        if target == "char" and "const" in node.type.quals:
            return "string"
        if target in h.structs and "const" in node.type.quals and any(
                v.startswith(target + "_") for v in h.variables):
            return "choice"
        return None
    if name in ("ito_shape", "ito_dtype"):
        return name[4:]
    if name in h.enums:
        return "enum"
    return {"_Bool": "bool", "double": "number", "float": "number"}.get(
        name, "integer" if name in NUMBERS and name != "char" else None)


class Argument:
    """One parameter in Python: how it is written, what it is converted to, what C gets."""

    def __init__(self, h, name, node, what, value=None):
        self.name = name + "_" if keyword.iskeyword(name) else name
        self.what, self.value, self.before, self.passed = what, value, None, self.name
        if what == "tensor":
            self.before = f"{self.name} = _in({self.name})"
        elif what == "tensors":
            self.before = f"{self.name} = [_in(t) for t in {self.name}]"
            self.passed = f"_list({self.name}), len({self.name})"
        elif what == "out":
            self.before, self.passed = f"{self.name} = _c.c_void_p()", f"_byref({self.name})"
        elif what == "shape":
            self.passed = f"_shape({self.name})"
        elif what == "dtype":
            self.passed = f"_dtype({self.name})"
        elif what == "generator":
            self.passed = f"_byref({self.name})"
        elif what == "string":
            self.passed = f"_text({self.name})"
        elif what == "enum":
            self.passed = f'_enum("{h.named(node)}", {self.name})'
        elif what == "choice":
            self.passed = f'_choice("{h.named(node.type)}", {self.name})'

    def in_struct(self):
        """The value that a field of a struct gets."""
        if self.what == "tensor":
            return f"_address({self.name})"
        if self.what == "generator":
            return f"_pointer({self.name})"
        return self.passed


def default_values(h, name):
    """The default of each field, as Python writes it."""
    values = {}
    for entry in h.defaults[name].exprs:
        field = next(f for f in h.structs[name] if f.name == entry.name[0].name)
        if h.named(field.type) == "ito_shape":
            exprs = entry.expr.exprs
            if isinstance(exprs[0], c_ast.NamedInitializer):
                values[field.name] = "None" if h.number(exprs[0].expr) < 0 else "()"
            else:
                values[field.name] = repr(tuple(h.number(e) for e in exprs[1].exprs))
        elif isinstance(entry.expr, c_ast.InitList):
            return None
        else:
            number = h.number(entry.expr)
            kind = h.named(field.type)
            values[field.name] = literal(float(number) if kind == "double" else
                                         bool(number) if kind == "_Bool" else number)
    return values


def options(h, name):
    """The keyword arguments for a struct of options; None if there are none."""
    values = default_values(h, name)
    if values is None:
        return None
    found = []
    for field in h.structs[name]:
        what = role(h, field.type)
        if field.name == "reserved_" or what in (None, "tensors", "out"):
            continue
        plain = {"tensor": "None", "generator": "None", "choice": "None", "string": "None", "shape": "()",
                 "bool": "False", "number": "0.0"}.get(what, "0")
        argument = Argument(h, field.name, field.type, what, values.get(field.name, plain))
        argument.field = field.name
        found.append(argument)
    return found


RESULTS = {"tensor": "_tensor", "number": "_value", "bool": "_value", "integer": "_value", "dtype": "_dtype_of",
           "string": "_string", "status": "_status", "none": "_value"}


def result_of(h, function):
    name = h.named(function.type)
    if name == "ito_status":
        return "status"
    if name == "void":
        return "none"
    what = role(h, function.type)
    return what if what in RESULTS else None


def operation(h, name, function):
    """The source of a Python function; None where an argument is nothing that Python has."""
    result, arguments, keywords, passed = result_of(h, function), [], [], []
    params = parameters(h, function)
    if result is None or variadic(function):
        return None
    skip = False
    for i, p in enumerate(params):
        if skip:
            skip = False
            continue
        struct = h.named(p.type)
        if struct in h.with_defaults:
            keywords = options(h, struct)
            if keywords is None:
                return None
            fields = ", ".join(f"{a.field}={a.in_struct()}" for a in keywords)
            passed.append(f"_c.{struct}({fields})")
            continue
        what = role(h, p.type)
        skip = what == "tensors"
        if what is None or (skip and (i + 1 == len(params) or h.named(params[i + 1].type) != "int64_t")):
            return None
        arguments.append(Argument(h, p.name, p.type, what))
        passed.append(arguments[-1].passed)
    outs = [a.name for a in arguments if a.what == "out"]
    if outs and result != "tensor":
        return None
    names = [a.name for a in arguments if a.what != "out"]
    if h.header[name] == "ito/tensor/tensor.h" and names[-1:] == ["dtype"]:
        names[-1] = 'dtype="f32"'
    if keywords:
        names += ["*"] + [f"{a.name}={a.value}" for a in keywords]
    public = h.public.get(name, name)[len("ito_"):]
    body = [f'    """{h.docs.get(name, "").replace(chr(92), chr(92) * 2)}"""']
    body += [f"    {a.before}" for a in arguments + keywords if a.before]
    helper = RESULTS[result]
    if outs:
        helper, passed = "_tensors", [f"({', '.join(outs)},)"] + passed
        passed = [passed[0], f"_lib.{name}"] + passed[1:]
    else:
        passed = [f"_lib.{name}"] + passed
    body.append(f"    return {helper}({', '.join(passed)})")
    return public, f"def {public}({', '.join(names)}):\n" + "\n".join(body)


def write_operations(h, out):
    print('"""The operations, made by generate.py from the public headers."""', file=out)
    print("from . import _c\nfrom ._call import (_address, _byref, _choice, _dtype, _dtype_of, _enum, _in, _list, "
          "_pointer,\n                    _shape, _status, _string, _tensor, _tensors, _text, "
          "_value)\nfrom ._library import lib as _lib\n", file=out)
    names = []
    for name, function in h.functions.items():
        if name in BY_HAND or not OPERATIONS.match(h.header.get(name, "")):
            continue
        made = operation(h, name, function)
        if made:
            params = parameters(h, function)
            names.append((made[0], bool(params) and role(h, params[0].type) == "tensor"))
            print("\n" + made[1] + "\n", file=out)
    print(f"\n__all__ = {[name for name, _ in names]!r}", file=out)
    print(f"\nMETHODS = {[name for name, method in names if method]!r}", file=out)


# ---- the layout, as C has it

def write_layout(h, out):
    print('#include <ito/ito.h>\n#include <stdio.h>\n'
          'static void bytes(const char *name, const void *p, size_t n)\n{\n    printf("%s ", name);\n'
          '    for (size_t i = 0; i < n; i++)\n        printf("%02x", ((const unsigned char *)p)[i]);\n'
          '    printf("\\n");\n}\nint main(void)\n{', file=out)
    for name, fields in h.structs.items():
        print(f'    printf("size {name} %zu\\n", sizeof({c_name(h, name)}));', file=out)
        for f in fields:
            print(f'    printf("field {name}.{f.name} %zu %zu\\n", offsetof({c_name(h, name)}, {f.name}), '
                  f'sizeof((({c_name(h, name)} *)0)->{f.name}));', file=out)
    for constants in h.enums.values():
        for constant in constants:
            print(f'    printf("constant {constant} %d\\n", (int){constant});', file=out)
    for name in sorted(h.with_defaults):
        print(f"    {{ {name} o = ITO_OPTIONS({name}); (void)o;", file=out)
        for f in h.structs[name]:
            print(f'    bytes("default {name}.{f.name}", &o.{f.name}, sizeof o.{f.name});', file=out)
        print("    }", file=out)
    print("}", file=out)


def c_name(h, name):
    return name if name in h.types else "struct " + name


def main(include, where):
    h = Headers(include)
    if where == "--layout":
        write_layout(h, sys.stdout)
        return
    for name, write in (("_c.py", write_c), ("operations.py", write_operations)):
        with open(Path(where) / name, "w") as out:
            write(h, out)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        raise SystemExit(__doc__)
    main(*sys.argv[1:])
