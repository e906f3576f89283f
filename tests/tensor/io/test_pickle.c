/* Pickles that are no state dicts: each is refused with a sentence, and nothing is executed. */
#include "archives.h"
#include "weights_files.h"

TestSuite(pickle, .init = make_directory, .fini = remove_directory);

static archive made;

/* A file of PyTorch's with this pickle and a storage "0" of eight floats. */
static const char *write_pickle(const void *pickle, size_t n)
{
    static const float elements[8] = {0, 1, 2, 3, 4, 5, 6, 7};
    made = (archive){.size = 0};
    add(&made, "archive/data.pkl", pickle, n, DEFLATED);
    add(&made, "archive/data/0", elements, sizeof elements, STORED);
    return finish(&made, "");
}

static void expect_fault(const char *pickle, size_t n, const char *fault)
{
    expect_unopened(write_pickle(pickle, n), ITO_ERR_FORMAT, fault);
}

/* A pickle with zeros in it, as a literal. */
#define REFUSED(bytes, fault) expect_fault(bytes, sizeof(bytes) - 1, fault)
#define NOT_EXECUTED                                                                               \
    ", which was not executed: of a pickle only tensors, dicts, lists, numbers and text are read"

Test(pickle, calls_of_anything_else_are_refused_by_name)
{
    REFUSED("cposix\nsystem\n(X\2\0\0\0lstR.", "its pickle calls posix.system" NOT_EXECUTED);
    REFUSED("\x80\2cbuiltins\neval\nX\1\0\0\0001\x85R.",
            "its pickle calls builtins.eval" NOT_EXECUTED);
    REFUSED("\x80\2c__builtin__\ngetattr\n.", "its pickle calls __builtin__.getattr" NOT_EXECUTED);
    REFUSED("\x80\2ctorch\nload\n.", "its pickle calls torch.load" NOT_EXECUTED);
    REFUSED("\x80\2ctorch._utils\n_rebuild_qtensor\n.",
            "its pickle calls torch._utils._rebuild_qtensor" NOT_EXECUTED);
    REFUSED("\x80\4\x8c\2os\x8c\6system\x93.", "its pickle calls os.system" NOT_EXECUTED);
    REFUSED("\x80\2cnumpy.core.multiarray\nscalar\n.",
            "its pickle calls numpy.core.multiarray.scalar" NOT_EXECUTED);
    REFUSED("\x80\2ca\x1b[2J\nb\n.", "its pickle calls a?[2J.b" NOT_EXECUTED);
    REFUSED("\x80\2ccollections\nOrderedDict\x00\n.",
            "its pickle calls collections.OrderedDict" NOT_EXECUTED); /* which ends with a 0 */
}

Test(pickle, instructions_that_make_objects_are_refused_by_name)
{
    static const struct {
        const char *bytes, *name;
    } cases[] = {
        {"(iposix\nsystem\n.", "INST"},
        {"(X\1\0\0\0ao.", "MARK"},
        {"\x81.", "NEWOBJ"},
        {"\x92.", "NEWOBJ_EX"},
        {"\x82\1.", "EXT1"},
        {"\x83\1\1.", "EXT2"},
        {"\x84\1\1\1\1.", "EXT4"},
        {"P1\n.", "PERSID"},
        {"I01\n.", "INT"},
        {"L1L\n.", "LONG"},
        {"F1.5\n.", "FLOAT"},
        {"Vabc\n.", "UNICODE"},
        {"S'a'\n.", "STRING"},
        {"U\1a.", "SHORT_BINSTRING"},
        {"T.", "BINSTRING"},
        {"0.", "POP"},
        {"2.", "DUP"},
        {"1.", "POP_MARK"},
        {"d.", "DICT"},
        {"l.", "LIST"},
        {"g0\n.", "GET"},
        {"p0\n.", "PUT"},
        {"\x8b.", "LONG4"},
        {"\x8f.", "EMPTY_SET"},
        {"\x90.", "ADDITEMS"},
        {"\x91.", "FROZENSET"},
        {"\x8d.", "BINUNICODE8"},
        {"\x8e.", "BINBYTES8"},
        {"\x96.", "BYTEARRAY8"},
        {"\x97.", "NEXT_BUFFER"},
        {"\x98.", "READONLY_BUFFER"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char fault[120];
        if (strcmp(cases[i].name, "MARK") == 0)
            continue;
        snprintf(fault, sizeof fault,
                 "its pickle has the instruction %s, which was not executed, at byte %d",
                 cases[i].name, cases[i].bytes[0] == '(' ? 1 : 0);
        expect_fault(cases[i].bytes, strlen(cases[i].bytes), fault);
    }
    REFUSED("(cposix\nsystem\no.", "its pickle calls posix.system" NOT_EXECUTED);
    REFUSED("(NNo.", "its pickle has the instruction OBJ, which was not executed, at byte 3");
    REFUSED("\xff.", "its pickle has the byte 0xff, which is no instruction, at byte 0");
}

Test(pickle, a_stack_that_does_not_fit_is_refused)
{
    static const char no_value[] = "its pickle takes a value that is not there, at byte ";
    static const char *const pickles[] = {".", "a", "s",    "\x85", "\x86", "\x87",
                                          "R", "b", "\x93", "Q",    "q",    "\x94"};
    for (size_t i = 0; i < sizeof pickles / sizeof *pickles; i++) {
        char bytes[8] = {0}, fault[80];
        strcpy(bytes, pickles[i]);
        snprintf(fault, sizeof fault, "%s0", no_value);
        expect_fault(bytes, 3, fault);
    }
    REFUSED("N(.", "its pickle takes a value that is not there, at byte 2");
    REFUSED("NNR.", "its pickle calls what is no function, at byte 2");
    REFUSED("t.", "its pickle takes a mark that is not there, at byte 0");
    REFUSED("}(Nu.", "its pickle sets a key without a value, at byte 3");
    REFUSED("N(NNu.", "its pickle sets items of what is no dict, at byte 4");
    REFUSED("}Na.", "its pickle appends to what is no list, at byte 2");
    REFUSED("N}b.", "its pickle sets the state of what is neither a dict nor a tensor, at byte 2");
    REFUSED("NN\x93.", "its pickle names a global by what is no text, at byte 2");
    REFUSED("ctorch\nFloatStorage\n)R.", "its pickle calls what is no function, at byte 21");
    REFUSED("ccollections\nOrderedDict\nN\x85R.",
            "its pickle makes a dict of arguments, at byte 27");
    REFUSED("h\7.", "its pickle gets a value that was not put, at byte 0");
    REFUSED("Nq\2h\1.", "its pickle gets a value that was not put, at byte 3");
    REFUSED("\x80\6.", "its pickle is of a protocol above 5, at byte 0");
}

Test(pickle, what_it_claims_is_bounded_by_what_it_has)
{
    REFUSED("X\xff\xff\xff\xff"
            "abc.",
            "its pickle ends within an instruction, at byte 0");
    REFUSED("\x95\0\0.", "its pickle ends within an instruction, at byte 0");
    REFUSED("cposix\nsystem", "its pickle ends within an instruction, at byte 0");
    REFUSED("Nr\xff\xff\xff\xff.", "its pickle puts a value at a place beyond 4194303, at byte 1");
    REFUSED("N", "its pickle ends within an instruction, at byte 1");
    REFUSED("", "its pickle ends within an instruction, at byte 0");
}

/* ---- tensors ---- */

#define STORAGE(class, key, elements)                                                              \
    "(X\7\0\0\0storagec" class "\nX\1\0\0\0" key "X\3\0\0\0cpuK" elements "tQ"
#define TENSOR(storage, offset, shape, strides)                                                    \
    "}X\1\0\0\0actorch._utils\n_rebuild_tensor_v2\n(" storage "K" offset shape strides "\x89}tRs."
#define FLOATS STORAGE("torch\nFloatStorage", "0", "\10")

Test(pickle, a_tensor_made_by_hand_is_read)
{
    static const char bytes[] = TENSOR(FLOATS, "\1", "K\3K\2\x86", "K\2K\1\x86");
    ito_weights *w = ito_weights_open(write_pickle(bytes, sizeof bytes - 1));
    cr_assert_not_null(w, "%s", ito_error_message());
    expect_tensor(ito_weights_read(w, "a"), (float[]){1, 2, 3, 4, 5, 6}, ITO_SHAPE(3, 2), ITO_F32);
    ito_weights_close(w);
}

Test(pickle, tensors_that_are_not_within_their_storage_are_refused)
{
    REFUSED(TENSOR(FLOATS, "\3", "K\3K\2\x86", "K\2K\1\x86"),
            "tensor a: shape [3, 2] from element 3 on is not within its storage of 32 bytes");
    REFUSED(TENSOR(FLOATS, "\0", "K\2K\2\x86", "K\7K\2\x86"),
            "tensor a: shape [2, 2] from element 0 on is not within its storage of 32 bytes");
    REFUSED(TENSOR(FLOATS, "\11", "K\0\x85", "K\1\x85"),
            "tensor a: shape [0] from element 9 on is not within its storage of 32 bytes");
    REFUSED(TENSOR(FLOATS, "\0", "\x8a\10\xff\xff\xff\xff\xff\xff\xff\x7f\x85",
                   "\x8a\10\xff\xff\xff\xff\xff\xff\xff\x7f\x85"),
            "tensor a: shape [9223372036854775807] from element 0 on is not within its storage of "
            "32 bytes");
    REFUSED(TENSOR(FLOATS, "\0", "J\xff\xff\xff\xff\x85", "K\1\x85"),
            "tensor a: its shape or strides are no whole numbers from 0 on");
    REFUSED(TENSOR(FLOATS, "\0", "K\2\x85", "J\xff\xff\xff\xff\x85"),
            "tensor a: its shape or strides are no whole numbers from 0 on");
    REFUSED(TENSOR(FLOATS, "\0", "K\2\x85", "N"), "tensor a: its shape or strides are no tuple");
    REFUSED(TENSOR(FLOATS, "\0", "K\2\x85", ")"),
            "tensor a: has not as many strides as axes, or no dtype");
    REFUSED(TENSOR(FLOATS, "\0", "(K\1K\1K\1K\1K\1K\1K\1K\1K\1t", ")"),
            "tensor a: has more than 8 axes");
}

Test(pickle, storages_that_are_not_what_they_claim_are_refused)
{
    static const char none[] = "tensor a: its persistent id is no storage";
    REFUSED(TENSOR(STORAGE("torch\nFloatStorage", "0", "\11"), "\0", ")", ")"),
            "tensor a: its storage of 9 elements does not take 32 bytes, which it has");
    REFUSED(TENSOR(STORAGE("torch\nDoubleStorage", "0", "\10"), "\0", ")", ")"),
            "tensor a: its storage of 8 elements does not take 32 bytes, which it has");
    REFUSED(TENSOR(STORAGE("torch\nFloatStorage", "1", "\10"), "\0", ")", ")"),
            "tensor a: its bytes, archive/data/1, are missing");
    REFUSED(TENSOR(STORAGE("torch\nUntypedStorage", "0", "\40"), "\0", ")", ")"),
            "tensor a: has not as many strides as axes, or no dtype");
    REFUSED(TENSOR(STORAGE("torch\nSize", "0", "\10"), "\0", ")", ")"), none);
    REFUSED(TENSOR("NQ", "\0", ")", ")"), none);
    REFUSED(TENSOR("X\1\0\0\0aQ", "\0", ")", ")"), none);
    REFUSED(TENSOR("X\6\0\0\0module\x85Q", "\0", ")", ")"), none);
    REFUSED(TENSOR("N", "\0", ")", ")"), "tensor a: its storage or offset is none");
    REFUSED("}X\1\0\0\0actorch._utils\n_rebuild_tensor_v2\n)Rs.",
            "tensor a: its storage or offset is none");
    REFUSED("}X\1\0\0\0actorch._utils\n_rebuild_parameter\nN\x85Rs.",
            "tensor a: its parameter has no tensor");
}

/* ---- names ---- */

#define ANY TENSOR(FLOATS, "\0", ")", ")")

/* A pickle of n bytes that are repeated between a beginning and an end. */
static void expect_repeated_fault(const char *begin, const char *middle, size_t middle_size, int n,
                                  const char *end, size_t end_size, const char *fault)
{
    size_t size = strlen(begin);
    char *bytes = malloc(size + (size_t)n * middle_size + end_size);
    memcpy(bytes, begin, size);
    for (int i = 0; i < n; i++, size += middle_size)
        memcpy(bytes + size, middle, middle_size);
    memcpy(bytes + size, end, end_size);
    expect_fault(bytes, size + end_size, fault);
    free(bytes);
}

Test(pickle, keys_that_are_no_names_are_refused)
{
    REFUSED("}X\2\0\0\0a\xff"
            "Ns.",
            "its pickle has a key that is no UTF-8 text");
    REFUSED("}X\2\0\0\0a\0Ns.", "its pickle has a key that is no UTF-8 text");
    REFUSED("}K\1K\2\x86"
            "ctorch._utils\n_rebuild_tensor_v2\n(" FLOATS "K\0))\x89}tRs.",
            "its pickle has a tensor under a key that is neither text nor a whole number");
    ito_weights *w = ito_weights_open(write_pickle("}K\1K\2\x86]s.", 9)); /* without a tensor */
    cr_expect_eq(ito_weights_count(w), 0, "%s", ito_error_message());
    ito_weights_close(w);
    REFUSED("}(X\1\0\0\0aK\1X\1\0\0\0act\nx\n.", "its pickle calls t.x" NOT_EXECUTED);
}

Test(pickle, a_name_that_two_tensors_have_is_refused)
{
#define VALUE "ctorch._utils\n_rebuild_tensor_v2\n(" FLOATS "K\0))\x89}tR"
    REFUSED("}(X\3\0\0\0a.b" VALUE "X\1\0\0\0a}X\1\0\0\0b" VALUE "su.", "tensor a.b: occurs twice");
}

Test(pickle, nesting_and_repetition_are_bounded)
{
    expect_repeated_fault("", "]", 1, 65, "", 0,
                          "its pickle ends within an instruction, at byte 65");
    /* [[[[...]]]] by BINGET of itself: a list that holds itself. */
    REFUSED("]q\0h\0a.", "its pickle has more than 64 dicts and lists within one another");
    /* Billion laughs: each list holds the one before ten times. */
    char bytes[1000] = "]q";
    size_t n = 3;
    bytes[2] = 0;
    for (int level = 1; level < 12; level++) {
        n += (size_t)snprintf(bytes + n, 8, "](");
        for (int k = 0; k < 10; k++) {
            bytes[n++] = 'h';
            bytes[n++] = (char)(level - 1);
        }
        bytes[n++] = 'e';
        bytes[n++] = 'q';
        bytes[n++] = (char)level;
    }
    bytes[n++] = '.';
    expect_fault(bytes, n,
                 "its pickle has more than 4194304 values, counted as often as it repeats them");
    /* A name of more than 1023 bytes. */
    memset(bytes, 'a', sizeof bytes);
    char pickle[2200] = "}X\xe8\3\0\0";
    memcpy(pickle + 6, bytes, 1000);
    memcpy(pickle + 1006, "}X\xe8\3\0\0", 6);
    pickle[1003] = pickle[1004] = 'a';
    memcpy(pickle + 1012, bytes, 1000);
    memcpy(pickle + 2012, "Nss.", 4);
    expect_fault(pickle, 2016, "its pickle has a name of more than 1023 bytes");
}

/* The bounds of pickle.h and weights_pytorch.h, of pickles that shrink to a few kilobytes. */
Test(pickle, values_tensors_and_names_are_bounded)
{
    expect_repeated_fault("](", "N", 1, 4194304, "e.", 2,
                          "its pickle has more than 4194304 values, at byte 4194305");
    static const char tensor[] =
        "]q\0ctorch._utils\n_rebuild_tensor_v2\n(" FLOATS "K\0))\x89}tRq\1a";
    char begin[2048];
    memcpy(begin, tensor, sizeof tensor - 1);
    const size_t n = sizeof tensor - 1;
    char *bytes = malloc(n + 2 * 262144 + 4);
    memcpy(bytes, begin, n);
    bytes[n] = '(';
    for (int i = 0; i < 262144; i++)
        memcpy(bytes + n + 1 + 2 * i, "h\1", 2);
    memcpy(bytes + n + 1 + 2 * 262144, "e.", 2);
    expect_fault(bytes, n + 1 + 2 * 262144 + 2, "its pickle has more than 262144 tensors");
    /* The same list under a name of a thousand bytes. */
    const size_t long_key = 6 + 1000;
    char *named = malloc(long_key + n + 2 * 262144 + 8);
    memcpy(named, "}X\xe8\3\0\0", 6);
    memset(named + 6, 'a', 1000);
    memcpy(named + long_key, bytes, n + 1 + 2 * 262144 + 1);
    memcpy(named + long_key + n + 1 + 2 * 262144 + 1, "s.", 2);
    expect_fault(named, long_key + n + 1 + 2 * 262144 + 3,
                 "its pickle has more than 67108864 bytes of names");
    free(bytes);
    free(named);
}

/* ---- archives ---- */

Test(pickle, archives_of_other_kinds_are_named)
{
    made = (archive){.size = 0};
    add(&made, "readme.txt", "hello", 5, STORED);
    expect_unopened(finish(&made, ""), ITO_ERR_FORMAT,
                    "is a zip archive, but neither of PyTorch nor of NumPy");
    made = (archive){.size = 0};
    add(&made, "archive/data.pkl", "}.", 2, STORED);
    ito_weights *w = ito_weights_open(finish(&made, ""));
    cr_assert_not_null(w, "%s", ito_error_message());
    cr_expect_eq(ito_weights_count(w), 0);
    ito_weights_close(w);
}

Test(pickle, a_pickle_that_is_too_large_or_damaged_is_refused)
{
    made = (archive){.size = 0};
    add(&made, "archive/data.pkl", "}.", 2, STORED);
    size_t e = entry(&made);
    finish(&made, "");
    expect_unopened(patched(&made, e + 24, 1 << 27, 4), ITO_ERR_FORMAT,
                    "archive/data.pkl in it has 134217728 bytes, more than the 67108864 allowed");
    expect_unopened(patched(&made, e + 24, 1 << 20, 4), ITO_ERR_FORMAT,
                    "it cannot have 1048576 bytes: it takes 2 in the archive");
    expect_unopened(patched(&made, e + 16, 0, 4), ITO_ERR_FORMAT,
                    "checksum does not match (stored 00000000, found 079e188b)");
}

Test(pickle, a_storage_that_is_damaged_is_refused_where_it_is_read)
{
    static const char bytes[] = TENSOR(FLOATS, "\1", "K\2\x85", "K\1\x85");
    write_pickle(bytes, sizeof bytes - 1);
    size_t at = 0;
    while (memcmp(made.bytes + at, (float[]){5, 6}, 8) != 0)
        at++;
    const char *path = patched(&made, at, 7, 1); /* which the tensor does not even have */
    ito_weights *w = ito_weights_open(path);
    cr_assert_not_null(w, "%s", ito_error_message());
    cr_expect_null(ito_weights_read(w, "a"));
    char part[PATH_MAX + 100];
    snprintf(part, sizeof part, "%s: checksum does not match (stored ", path);
    cr_expect_eq(strncmp(ito_error_message(), part, strlen(part)), 0, "%s", ito_error_message());
    ito_error_clear();
    ito_weights_close(w);
}
