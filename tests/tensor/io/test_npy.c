/* .npy files against bytes that NumPy 2.4.6 wrote, and against damage. */
#include "files.h"
#include "tensor/io/npy.h"

TestSuite(npy, .init = make_directory, .fini = remove_directory);

/* A file of version `major`.0 with this header text, padded with spaces, and these elements. */
static const char *write_npy(const char *name, int major, const char *header, const void *elements,
                             size_t size)
{
    unsigned char bytes[4096] = "\x93NUMPY";
    size_t length = strlen(header), begin = major == 1 ? 10 : 12;
    bytes[6] = (unsigned char)major;
    bytes[8] = (unsigned char)length;
    bytes[9] = (unsigned char)(length >> 8);
    memcpy(bytes + begin, header, length);
    if (size > 0)
        memcpy(bytes + begin + length, elements, size);
    return write_file(name, bytes, begin + length + size);
}

/* np.save of np.array([[1, 2, 3], [4, 5, 6]], np.float32) */
static const unsigned char numpy_file[152] =
    "\x93NUMPY\x01\x00v\x00{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }          "
    "                                                \n"
    "\0\0\x80\x3f\0\0\0\x40\0\0\x40\x40\0\0\x80\x40\0\0\xa0\x40\0\0\xc0\x40";
static const float one_to_six[6] = {1, 2, 3, 4, 5, 6};

Test(npy, what_numpy_wrote_is_read)
{
    const char *path = write_file("a.npy", numpy_file, sizeof numpy_file);
    expect_tensor(ito_npy_load(path), one_to_six, ITO_SHAPE(2, 3), ITO_F32);
}

Test(npy, what_is_written_is_what_numpy_writes)
{
    const char *path = in_directory("a.npy");
    ito_tensor *t = tensor_of(one_to_six, ITO_SHAPE(2, 3), ITO_F32);
    cr_assert_eq(ito_npy_save(path, t), ITO_OK, "%s", ito_error_message());
    size_t n;
    unsigned char *bytes = read_file(path, &n);
    cr_assert_eq(n, sizeof numpy_file);
    cr_assert_eq(memcmp(bytes, numpy_file, n), 0);
    free(bytes);
}

Test(npy, every_dtype_comes_back_bit_by_bit)
{
    unsigned char bytes[48];
    for (int i = 0; i < 48; i++)
        bytes[i] = (unsigned char)(37 * i + 11);
    for (ito_dtype d = 0; d < ITO_DTYPES; d++) {
        if (d == ITO_BF16)
            continue;
        static const unsigned char bools[6] = {0, 1, 1, 0, 0, 1};
        const void *elements = d == ITO_BOOL ? bools : bytes;
        const char *path = in_directory(ito_dtype_name(d));
        ito_tensor *t = tensor_of(elements, ITO_SHAPE(3, 2), d);
        cr_assert_eq(ito_npy_save(path, t), ITO_OK, "%s", ito_error_message());
        expect_tensor(ito_npy_load(path), elements, ITO_SHAPE(3, 2), d);
    }
}

Test(npy, every_number_of_axes_and_no_elements_come_back)
{
    const ito_shape shapes[] = {ITO_SHAPE(), ITO_SHAPE(6), ITO_SHAPE(1, 2, 1, 3, 1, 1, 1, 1),
                                ITO_SHAPE(0, 3), ITO_SHAPE(2, 0, 4)};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        const char *path = in_directory("a.npy");
        ito_tensor *t = tensor_of(one_to_six, shapes[i], ITO_F32);
        cr_assert_eq(ito_npy_save(path, t), ITO_OK, "%s", ito_error_message());
        expect_tensor(ito_npy_load(path), one_to_six, shapes[i], ITO_F32);
    }
}

Test(npy, a_strided_view_is_written_row_major)
{
    const char *path = in_directory("a.npy");
    ito_tensor *t = tensor_of(one_to_six, ITO_SHAPE(2, 3), ITO_F32);
    cr_assert_eq(ito_npy_save(path, transposed_view(t)), ITO_OK, "%s", ito_error_message());
    expect_tensor(ito_npy_load(path), (float[]){1, 4, 2, 5, 3, 6}, ITO_SHAPE(3, 2), ITO_F32);
}

/* Elements lie column by column in the file; [i, j] is i + 2 j. */
Test(npy, fortran_order_is_read_as_a_transposed_view)
{
    const int32_t columns[6] = {0, 1, 2, 3, 4, 5};
    const char *path =
        write_npy("a.npy", 1, "{'descr': '<i4', 'fortran_order': True, 'shape': (2, 3), }\n",
                  columns, sizeof columns);
    ito_tensor *t = ito_npy_load(path);
    cr_assert_not_null(t, "%s", ito_error_message());
    cr_assert(shape_equal(ito_shape_of(t), ITO_SHAPE(2, 3)));
    const int32_t *first = tensor_data(t);
    for (int i = 0; i < 2; i++)
        for (int j = 0; j < 3; j++)
            cr_assert_eq(first[i * t->stride[0] + j * t->stride[1]], i + 2 * j);
}

Test(npy, versions_two_and_three_and_odd_spellings_are_read)
{
    static const char *const headers[] = {
        "{'descr': '|u1', 'fortran_order': False, 'shape': (3,), }     \n",
        "{\"shape\":(3L,),\"fortran_order\":False,\"descr\":\"<u1\"}",
        "{ 'fortran_order' : False , 'descr' : '|u1' , 'shape' : ( 3 , ) }\n",
    };
    for (int major = 1; major <= 3; major++)
        for (size_t i = 0; i < sizeof headers / sizeof *headers; i++)
            expect_tensor(ito_npy_load(write_npy("a.npy", major, headers[i], "\1\2\3", 3)),
                          "\1\2\3", ITO_SHAPE(3), ITO_U8);
}

/* Three numbers as every dtype of NumPy has them: 1, 2 and the largest or least, little endian. */
Test(npy, every_dtype_of_either_byte_order_keeps_its_values)
{
    static const struct {
        const char *name;
        int size;
        ito_dtype dtype;
        uint64_t bits[3]; /* of the elements in the file */
        int64_t whole[3];
        double real[3];
    } cases[] = {
        {"f2", 2, ITO_F16, {0x3c00, 0x4000, 0xc900}, {0}, {1, 2, -10}},
        {"f4", 4, ITO_F32, {0x3f800000, 0x40000000, 0xc1200000}, {0}, {1, 2, -10}},
        {"f8",
         8,
         ITO_F64,
         {0x3ff0000000000000, 0x4000000000000000, 0xc024000000000000},
         {0},
         {1, 2, -10}},
        {"i1", 1, ITO_I32, {1, 2, 0x80}, {1, 2, -128}, {0}},
        {"i2", 2, ITO_I32, {1, 2, 0x8000}, {1, 2, -32768}, {0}},
        {"i4", 4, ITO_I32, {1, 2, 0x80000000}, {1, 2, INT32_MIN}, {0}},
        {"i8", 8, ITO_I64, {1, 2, 0x8000000000000000}, {1, 2, INT64_MIN}, {0}},
        {"u1", 1, ITO_U8, {1, 2, 0xff}, {1, 2, 255}, {0}},
        {"u2", 2, ITO_I32, {1, 2, 0xffff}, {1, 2, 65535}, {0}},
        {"u4", 4, ITO_I64, {1, 2, 0xffffffff}, {1, 2, 4294967295}, {0}},
        {"u8", 8, ITO_I64, {1, 2, INT64_MAX}, {1, 2, INT64_MAX}, {0}},
        {"b1", 1, ITO_BOOL, {0, 1, 1}, {0, 1, 1}, {0}},
    };
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++)
        for (int order = 0; order < 3; order++) {
            unsigned char bytes[24];
            int size = cases[c].size;
            for (int i = 0; i < 3 * size; i++) {
                int byte = order == 1 ? size - 1 - i % size : i % size;
                bytes[i] = (unsigned char)(cases[c].bits[i / size] >> 8 * byte);
            }
            char header[128];
            snprintf(header, sizeof header,
                     "{'descr': '%c%s', 'fortran_order': False, 'shape': (3,), }\n", "<>="[order],
                     cases[c].name);
            ito_tensor *t = ito_npy_load(write_npy("a", 1, header, bytes, (size_t)(3 * size)));
            cr_assert_not_null(t, "%s: %s", header, ito_error_message());
            cr_assert_eq(t->dtype, cases[c].dtype, "%s", header);
            bool real = ito_dtype_is_float(t->dtype);
            double reals[3];
            int64_t wholes[3];
            cr_assert_eq(ito_to_data(t, real ? (void *)reals : wholes, real ? ITO_F64 : ITO_I64),
                         ITO_OK);
            cr_assert_eq(real ? memcmp(reals, cases[c].real, sizeof reals)
                              : memcmp(wholes, cases[c].whole, sizeof wholes),
                         0, "%s", header);
        }
}

Test(npy, an_array_larger_than_a_chunk_is_converted_whole)
{
    enum { N = 10000 };
    static unsigned char bytes[2 * N];
    for (int i = 0; i < N; i++) {
        bytes[2 * i] = (unsigned char)(i >> 8);
        bytes[2 * i + 1] = (unsigned char)i;
    }
    char file[128 + sizeof bytes] = "\x93NUMPY\1";
    snprintf(file + 10, 100, "{'descr': '>u2', 'fortran_order': False, 'shape': (%d,), }", N);
    size_t length = strlen(file + 10);
    file[8] = (char)length;
    memcpy(file + 10 + length, bytes, sizeof bytes);
    ito_tensor *t = ito_npy_load(write_file("a", file, 10 + length + sizeof bytes));
    cr_assert_not_null(t, "%s", ito_error_message());
    for (int i = 0; i < N; i++)
        cr_assert_eq(((const int32_t *)tensor_data(t))[i], i);
}

Test(npy, an_unsigned_number_of_64_bits_is_refused)
{
    const char *path =
        write_npy("a", 1, "{'descr': '<u8', 'fortran_order': False, 'shape': (2,), }",
                  (const uint64_t[]){5, 9223372036854775808u}, 16);
    cr_assert_null(ito_npy_load(path));
    expect_error(ITO_ERR_RANGE,
                 "%s: element 1 is 9223372036854775808, more than the 9223372036854775807 that an "
                 "i64 holds",
                 path);
    expect_nothing_left(count_entries("/proc/self/fd"));
}

#define GOOD "{'descr': '|b1', 'fortran_order': False, 'shape': (3,), }\n"
#define DTYPES " is not one of f2 f4 f8 i1 i2 i4 i8 u1 u2 u4 u8 b1"
#define DICTIONARY "is not a dictionary of descr, fortran_order and shape"

Test(npy, bad_headers_are_refused)
{
    static const struct {
        const char *header, *fault;
    } cases[] = {
        {"", "is not a dictionary"},
        {"x", "is not a dictionary"},
        {"{", DICTIONARY},
        {"{}", "lacks descr, fortran_order or shape"},
        {"{'descr'}", DICTIONARY},
        {"{'descr': '|b1' 'shape': (3,)}", DICTIONARY},
        {"{'descr': '|b1', 'fortran_order': False}", "lacks descr, fortran_order or shape"},
        {"{'descr': '|b1', 'descr': '|b1'}", "has a key twice"},
        {"{'descr': '|b1', 'size': 3}", "has a key other than descr, fortran_order and shape"},
        {"{'a key that is much longer than any that is known': 3}", DICTIONARY},
        {"{'descr': [('a', '<f4')]}", "descr is not the name of a plain dtype"},
        {"{'descr': '\\x3c'}", "descr is not the name of a plain dtype"},
        {"{'descr': '|f4'}", "dtype '|f4'" DTYPES},
        {"{'descr': '<c8'}", "dtype '<c8'" DTYPES},
        {"{'descr': 'f4'}", "dtype 'f4'" DTYPES},
        {"{'descr': '<U3'}", "dtype '<U3'" DTYPES},
        {"{'descr': ''}", "dtype ''" DTYPES},
        {"{'fortran_order': 0}", "fortran_order is neither True nor False"},
        {"{'shape': 3}", "shape is not a tuple"},
        {"{'shape': (3)}", "shape is not a tuple"},
        {"{'shape': (3 4)}", "shape lacks a comma or a bracket"},
        {"{'shape': (-3,)}", "shape is not a tuple of whole numbers"},
        {"{'shape': (,)}", "shape is not a tuple of whole numbers"},
        {"{'shape': (3.0,)}", "shape lacks a comma or a bracket"},
        {"{'shape': (9223372036854775808,)}", "shape holds a number of more than 63 bits"},
        {"{'shape': (1,1,1,1,1,1,1,1,1)}", "shape has more than 8 axes"},
        {GOOD "x", "is followed by something else"},
    };
    int open_files = count_entries("/proc/self/fd");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *path = write_npy("a.npy", 1, cases[i].header, "\0\1\0", 3);
        cr_assert_null(ito_npy_load(path), "%s", cases[i].header);
        expect_error(ITO_ERR_FORMAT, "%s: npy header: %s", path, cases[i].fault);
        expect_nothing_left(open_files);
    }
}

static void expect_refused(const char *path, const char *fault)
{
    int open_files = count_entries("/proc/self/fd");
    cr_assert_null(ito_npy_load(path));
    expect_error(ITO_ERR_FORMAT, "%s: %s", path, fault);
    expect_nothing_left(open_files);
}

Test(npy, elements_must_fill_the_file_exactly)
{
    expect_refused(write_npy("a", 1, GOOD, "\0\1", 2),
                   "holds 2 bytes of elements, which is not what shape [3] of b1 takes");
    expect_refused(write_npy("a", 1, GOOD, "\0\1\1\1", 4),
                   "holds 4 bytes of elements, which is not what shape [3] of b1 takes");
    expect_refused(write_npy("a", 1, GOOD, "\0\1\2", 3),
                   "element 2 is a bool that is neither 0 nor 1");
    expect_refused(write_npy("a", 1,
                             "{'descr': '<f8', 'fortran_order': False, "
                             "'shape': (4611686018427387904, 4), }\n",
                             "", 0),
                   "holds 0 bytes of elements, which is not what shape [4611686018427387904, 4] of "
                   "f8 takes");
}

Test(npy, what_is_no_npy_file_is_refused)
{
    expect_refused(write_file("a", "x", 1), "is not an npy file");
    expect_refused(write_file("a", "\x93NUMPY\1\0\1", 9), "is not an npy file");
    expect_refused(write_file("a", "\x93NUMPX\1\0\0\0\0\0", 12), "is not an npy file");
    expect_refused(write_file("a", "\x93NUMPY\4\0\0\0\0\0", 12),
                   "npy version 4.0 is not 1.0, 2.0 or 3.0");
    expect_refused(write_file("a", "\x93NUMPY\1\1\0\0\0\0", 12),
                   "npy version 1.1 is not 1.0, 2.0 or 3.0");
    expect_refused(write_file("a", "\x93NUMPY\1\0\3\0xx", 12),
                   "npy header of 3 bytes: at most 2 are possible");
    expect_refused(write_file("a", "\x93NUMPY\2\0\xff\xff\xff\xff", 12),
                   "npy header of 4294967295 bytes: at most 0 are possible");
    expect_refused(write_file("a", "\x93NUMPY\2\0\1\0", 10), "is not an npy file");
    expect_refused(write_file("a", "", 0), "is empty");
    cr_assert_null(ito_npy_load(directory));
    expect_error(ITO_ERR_IO, "%s: is a directory, not a file", directory);
}

Test(npy, every_truncation_is_refused)
{
    for (size_t n = 0; n < sizeof numpy_file; n++) {
        cr_assert_null(ito_npy_load(write_file("a", numpy_file, n)), "%zu bytes", n);
        cr_assert_eq(ito_error_code(), ITO_ERR_FORMAT);
        ito_error_clear();
    }
}

Test(npy, saving_refuses_what_numpy_does_not_have)
{
    const char *path = in_directory("a.npy");
    cr_assert_eq(ito_npy_save(path, tensor_of("\0\0", ITO_SHAPE(1), ITO_BF16)), ITO_ERR_DTYPE);
    expect_error(ITO_ERR_DTYPE, "npy_save: NumPy has no bf16; convert to f32 first");
    cr_assert_eq(ito_npy_save(path, NULL), ITO_ERR_ARGUMENT);
    expect_error(ITO_ERR_ARGUMENT, "npy_save: there is no tensor");
    cr_assert_neq(access(path, F_OK), 0);
}

Test(npy, a_full_disk_leaves_the_old_file)
{
    const char *path = write_file("a.npy", numpy_file, sizeof numpy_file);
    ito_tensor *t = tensor_empty(ITO_SHAPE(1000), ITO_F32);
    memset(tensor_data(t), 0, 4000);
    limit_file_size(2000);
    cr_assert_eq(ito_npy_save(path, t), ITO_ERR_IO);
    limit_file_size(RLIM_INFINITY);
    expect_error(ITO_ERR_IO, "%s: cannot write: File too large", path);
    expect_tensor(ito_npy_load(path), one_to_six, ITO_SHAPE(2, 3), ITO_F32);
    cr_assert_eq(count_entries(directory), 3);
}

static bool save_and_load(void *context)
{
    ito_tensor *t = tensor_empty(ITO_SHAPE(2, 3), ITO_I32);
    if (t == NULL)
        return false;
    memset(tensor_data(t), 0, 24);
    ito_tensor *view = transposed_view(t);
    return view != NULL && ito_npy_save(context, view) == ITO_OK && ito_npy_load(context) != NULL;
}

static bool load_only(void *context)
{
    return ito_npy_load(context) != NULL;
}

static void expect_no_map(const char *header, const void *elements, size_t size, const char *why)
{
    int open_files = count_entries("/proc/self/fd");
    const char *path = write_npy("a", 1, header, elements, size);
    cr_assert_null(ito_npy_map(path));
    expect_error(ITO_ERR_DTYPE, "%s: cannot be mapped: %s", path, why);
    expect_nothing_left(open_files);
}

Test(npy, an_array_is_mapped_where_it_is_a_tensor_already)
{
    ito_tensor *t = tensor_empty(ITO_SHAPE(100, 3, 7), ITO_F32);
    for (int i = 0; i < 2100; i++)
        ((float *)tensor_data(t))[i] = (float)i;
    const char *path = in_directory("a.npy");
    cr_assert_eq(ito_npy_save(path, t), ITO_OK);
    int64_t blocks = ito_memory_blocks();
    ito_tensor *map = ito_npy_map(path);
    cr_assert_eq(ito_memory_blocks(), blocks);
    expect_tensor(map, tensor_data(t), ITO_SHAPE(100, 3, 7), ITO_F32);
    ito_scope_clear();

    static const char other[] = "its elements are of another width or byte order than a tensor's";
#define HEADER(descr, order) "{'descr': '" descr "', 'fortran_order': " order ", 'shape': (2,), }"
    expect_no_map(HEADER(">f4", "False"), "abcdefgh", 8, other);
    expect_no_map(HEADER("<i2", "False"), "abcd", 4, other);
    expect_no_map(HEADER("<u8", "False"), "abcdefghabcdefgh", 16, other);
    expect_no_map(HEADER("|u1", "True"), "ab", 2, "it is in Fortran order");
    expect_no_map(HEADER("|b1", "False"), "\0\1", 2, "its bools have to be checked");
    expect_no_map(HEADER("<f4", "False"), "abcdefgh", 8, "its elements are not aligned");
    cr_assert_null(ito_npy_map(write_npy("a", 1, HEADER("|u1", "False"), "abc", 3)));
    expect_error(ITO_ERR_FORMAT,
                 "%s: holds 3 bytes of elements, which is not what shape [2] of u1 takes",
                 in_directory("a"));
}

Test(npy, every_failing_allocation_is_an_error)
{
    char path[PATH_MAX + 512];
    snprintf(path, sizeof path, "%s", in_directory("a.npy"));
    expect_clean_failures(save_and_load, path);
    write_npy("a.npy", 1, "{'descr': '|u1', 'fortran_order': True, 'shape': (1, 3), }\n", "abc", 3);
    expect_clean_failures(load_only, path);
}
