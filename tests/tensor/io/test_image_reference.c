/* Unusual image files against what Pillow makes of them (tests/reference/make_images_fixture.py),
 * and what is left of such files where they are cut or damaged. */
#include "pictures.h"
#include "tensor/io/safetensors.h"

static ito_safetensors *fixture;

static void open_fixture(void)
{
    make_directory();
    const char *source = getenv("ITO_SOURCE");
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/tests/reference/images.safetensors",
             source != NULL ? source : ".");
    fixture = ito_safetensors_open(path);
    cr_assert_not_null(fixture, "%s", ito_error_message());
}

static void close_fixture(void)
{
    ito_safetensors_close(fixture);
    remove_directory();
}

TestSuite(image_reference, .init = open_fixture, .fini = close_fixture);

static const ito_tensor *get(const char *name, const char *what)
{
    char full[128];
    snprintf(full, sizeof full, "%s%s", name, what);
    ito_tensor *t = ito_safetensors_read(fixture, full);
    cr_assert_not_null(t, "%s", ito_error_message());
    return t;
}

#ifdef ITO_WEBP
static const bool reads_webp = true;
#else
static const bool reads_webp = false;
#endif

/* The next NAME of those with a NAME.file that are read, from the i-th tensor on; false at the end.
 */
static bool next_name(int64_t *i, char name[128])
{
    while (*i < ito_safetensors_count(fixture)) {
        snprintf(name, 128, "%s", ito_safetensors_name(fixture, (*i)++));
        char *dot = strrchr(name, '.');
        if (strcmp(dot, ".file") != 0 || (!reads_webp && strncmp(name, "webp/", 5) == 0))
            continue;
        *dot = '\0';
        return true;
    }
    return false;
}

static const char *write_case(const char *name)
{
    const ito_tensor *file = get(name, ".file");
    return write_file("a", tensor_data(file), (size_t)ito_numel(file));
}

/* Decoders of JPEG round in other places: two levels. Nothing else may differ. */
static void expect_pixels(const char *name, const ito_tensor *got)
{
    const ito_tensor *right = get(name, ".pixels");
    cr_assert_not_null(got, "%s: %s", name, ito_error_message());
    cr_assert(shape_equal(ito_shape_of(got), ito_shape_of(right)), "%s: %s", name,
              tensor_shape_str(got));
    const int limit = strncmp(name, "jpeg/", 5) == 0 ? 2 : 0;
    const unsigned char *a = tensor_data(got), *b = tensor_data(right);
    for (int64_t i = 0; i < ito_numel(right); i++)
        cr_assert_leq(abs(a[i] - b[i]), limit, "%s: byte %" PRId64 " is %d, not %d", name, i, a[i],
                      b[i]);
}

Test(image_reference, unusual_files_are_read_as_by_others)
{
    char name[128];
    int count = 0;
    for (int64_t i = 0; next_name(&i, name); count++, ito_scope_clear())
        expect_pixels(name, ito_image_load(write_case(name), 3));
    cr_assert_eq(count, reads_webp ? 68 : 62);
}

Test(image_reference, greys_are_read_alike_in_one_channel_and_three)
{
    char name[128];
    int count = 0;
    for (int64_t i = 0; next_name(&i, name); ito_scope_clear()) {
        const int64_t *info = tensor_data(get(name, ".info"));
        const char *path = write_case(name);
        if (info[0] != 1)
            continue;
        const ito_tensor *one = ito_image_load(path, 1), *three = ito_image_load(path, 3);
        cr_assert_not_null(one);
        cr_assert_eq(memcmp(tensor_data(one), tensor_data(three), (size_t)ito_numel(one)), 0);
        count++;
    }
    cr_assert_eq(count, 8);
}

/* 0.30 R + 0.59 G + 0.11 B, within two levels of JPEG's and one of rounding. */
Test(image_reference, colours_are_read_as_greys)
{
    char name[128];
    for (int64_t i = 0; next_name(&i, name); ito_scope_clear()) {
        const ito_tensor *grey = ito_image_load(write_case(name), 1);
        cr_assert_not_null(grey, "%s", ito_error_message());
        const ito_tensor *colours = get(name, ".pixels");
        int64_t n = ito_numel(grey);
        cr_assert_eq(3 * n, ito_numel(colours));
        const unsigned char *rgb = tensor_data(colours), *y = tensor_data(grey);
        for (int64_t k = 0; k < n && strncmp(name, "jpeg/", 5) != 0; k++)
            cr_assert_float_eq(y[k], 0.299 * rgb[k] + 0.587 * rgb[k + n] + 0.114 * rgb[k + 2 * n],
                               2, "%s: pixel %" PRId64, name, k);
    }
}

Test(image_reference, headers_say_what_is_in_the_files)
{
    static const char *const formats[][2] = {
        {"bmp/", "BMP"}, {"jpeg/", "JPEG"}, {"png/", "PNG"}, {"webp/", "WebP"}};
    char name[128];
    for (int64_t i = 0; next_name(&i, name); ito_scope_clear()) {
        const int64_t *right = tensor_data(get(name, ".info"));
        const ito_tensor *pixels = get(name, ".pixels");
        ito_image_properties p;
        cr_assert_eq(ito_image_info(write_case(name), &p), ITO_OK, "%s", ito_error_message());
        for (size_t k = 0; k < sizeof formats / sizeof *formats; k++)
            if (strncmp(name, formats[k][0], strlen(formats[k][0])) == 0)
                cr_assert_str_eq(p.format, formats[k][1]);
        cr_assert_eq(p.height, pixels->shape[1], "%s: %" PRId64, name, p.height);
        cr_assert_eq(p.width, pixels->shape[2], "%s: %" PRId64, name, p.width);
        cr_assert_eq(p.channels, right[0], "%s: %d", name, p.channels);
        cr_assert_eq(p.bits, right[1], "%s: %d", name, p.bits);
        cr_assert_eq(p.orientation, right[2], "%s: %d", name, p.orientation);
        cr_assert_eq(p.has_alpha, right[3] != 0, "%s", name);
    }
}

/* ---- damage ------------------------------------------------------------------------------------
 */

/* Read what is at path both ways: each gives a result, or an error of its own and nothing else. */
static void try_both(const char *path, const char *name, int64_t at)
{
    int64_t blocks = ito_memory_blocks();
    ito_image_properties p;
    ito_status status = ito_image_info(path, &p);
    cr_assert(status == ITO_OK || status == ITO_ERR_FORMAT, "%s, %" PRId64 ": %s", name, at,
              ito_error_message());
    ito_error_clear();
    ito_scope_begin();
    if (ito_image_load(path, 3) == NULL)
        cr_assert_eq(ito_error_code(), ITO_ERR_FORMAT, "%s, %" PRId64 ": %s", name, at,
                     ito_error_message());
    ito_scope_end();
    ito_error_clear();
    cr_assert_eq(ito_memory_blocks(), blocks, "%s, %" PRId64, name, at);
}

Test(image_reference, every_truncation_is_survived)
{
    char name[128];
    for (int64_t i = 0; next_name(&i, name); ito_scope_clear()) {
        const char *path = write_case(name);
        for (int64_t n = ito_numel(get(name, ".file")) - 1; n > 0; n--) {
            cr_assert_eq(truncate(path, n), 0);
            try_both(path, name, n);
        }
    }
    cr_assert_eq(count_entries(directory), 3);
}

/* One bit of each byte, another in each file. */
Test(image_reference, every_flipped_bit_is_survived)
{
    char name[128];
    for (int64_t i = 0; next_name(&i, name); ito_scope_clear()) {
        const char *path = write_case(name);
        const ito_tensor *file = get(name, ".file");
        const unsigned char *bytes = tensor_data(file);
        int fd = open(path, O_RDWR);
        for (int64_t at = 0; at < ito_numel(file); at++) {
            unsigned char flipped = bytes[at] ^ (unsigned char)(1 << (at + i) % 8);
            cr_assert_eq(pwrite(fd, &flipped, 1, at), 1);
            try_both(path, name, at);
            cr_assert_eq(pwrite(fd, bytes + at, 1, at), 1);
        }
        close(fd);
    }
}

static bool load(void *path)
{
    return ito_image_load(path, 3) != NULL;
}

Test(image_reference, every_failing_allocation_is_an_error)
{
    static const char *const names[] = {"png/orientation_6",  "png/noise_too_long", "jpeg/ycck",
                                        "jpeg/orientation_5", "bmp/8_bit_runs",     "bmp/16_bits",
                                        "webp/orientation_6"};
    enum { N = sizeof names / sizeof *names };
    char paths[N][PATH_MAX];
    for (int i = 0; i < N; i++) {
        const ito_tensor *file = get(names[i], ".file");
        snprintf(paths[i], sizeof paths[i], "%s",
                 write_file((const char[]){(char)('a' + i), '\0'}, tensor_data(file),
                            (size_t)ito_numel(file)));
    }
    ito_scope_clear();
    ito_safetensors_close(fixture); /* its memory would be counted */
    fixture = NULL;
    for (int i = 0; i < (reads_webp ? N : N - 1); i++)
        expect_clean_failures(load, paths[i]);
}

/* ---- WebP with libwebp and without -------------------------------------------------------------
 */

#ifdef ITO_WEBP

Test(image_reference, animated_webp_is_refused)
{
    const ito_tensor *file = get("webp/animated", ".bytes");
    const char *path = write_file("a", tensor_data(file), (size_t)ito_numel(file));
    static const char fault[] =
        "is an animated WebP image, which is not read; convert a frame to PNG";
    ito_image_properties p;
    cr_assert_eq(ito_image_info(path, &p), ITO_ERR_FORMAT);
    expect_error(ITO_ERR_FORMAT, "%s: %s", path, fault);
    cr_assert_null(ito_image_load(path, 3));
    expect_error(ITO_ERR_FORMAT, "%s: %s", path, fault);
}

Test(image_reference, damaged_webp_is_refused)
{
    const char *path = write_case("webp/lossy");
    const ito_tensor *file = get("webp/lossy", ".file");
    cr_assert_eq(truncate(path, ito_numel(file) - 9), 0);
    cr_assert_null(ito_image_load(path, 3));
    expect_error(ITO_ERR_FORMAT, "%s: WebP data are damaged or end too soon", path);
    path = write_file("a", "RIFF\4\0\0\0WEBPtext", 16);
    cr_assert_null(ito_image_load(path, 3));
    expect_error(ITO_ERR_FORMAT, "%s: WebP header is damaged", path);
}

#else

Test(image_reference, webp_needs_libwebp)
{
    const char *path = write_case("webp/lossy");
    static const char fault[] =
        "is a WebP image, which is not read without libwebp: install libwebp-dev and build with "
        "-Dwebp=enabled, or convert it to PNG";
    ito_image_properties p;
    cr_assert_eq(ito_image_info(path, &p), ITO_ERR_FORMAT);
    expect_error(ITO_ERR_FORMAT, "%s: %s", path, fault);
    cr_assert_null(ito_image_load(path, 3));
    expect_error(ITO_ERR_FORMAT, "%s: %s", path, fault);
}

#endif
