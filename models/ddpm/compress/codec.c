/* Compressing and decompressing: checks, the run, and the results. Invariant: results are written
 * only if everything succeeded. */
#include "models/ddpm/compress/codec_internal.h"

#include "autograd/autograd.h"
#include "autograd/ops.h"
#include "tensor/internal.h"
#include "tensor/io/file.h"

#include <string.h>

enum { USUAL_STEPS = 50, MARGIN_BITS = 6 };

/* ---- compress ---- */

static ito_status check_options(const ito_diffusion *d, const ito_tensor *images,
                                ito_compress_options *o)
{
    int64_t T = d->process->steps;
    if (images->ndim != 4 || ito_numel(images) == 0)
        return error_status(ITO_ERR_SHAPE, "compress: %s is not [N, C, H, W]",
                            tensor_shape_str(images));
    if (images->dtype != ITO_U8)
        return error_status(ITO_ERR_DTYPE, "compress: images are u8, not %s",
                            ito_dtype_name(images->dtype));
    if (T == 0)
        return error_status(ITO_ERR_ARGUMENT,
                            "compress: the process must be in steps, and this one is in continuous "
                            "time");
    if (o->steps == ITO_COMPRESS_STEPS)
        o->steps = T < USUAL_STEPS ? T : USUAL_STEPS;
    if (o->steps < 1 || o->steps > T)
        return error_status(ITO_ERR_RANGE,
                            "compress: %" PRId64 " steps; the process has 1 to %" PRId64, o->steps,
                            T);
    if (o->candidate_bits == ITO_COMPRESS_CANDIDATES)
        o->candidate_bits = o->block_bits + MARGIN_BITS < CANDIDATE_BITS_MAX
                                ? o->block_bits + MARGIN_BITS
                                : CANDIDATE_BITS_MAX;
    if (o->block_bits < 1 || o->candidate_bits < o->block_bits ||
        o->candidate_bits > CANDIDATE_BITS_MAX)
        return error_status(ITO_ERR_RANGE,
                            "compress: blocks of %d bits and 2^%d candidates; blocks have at least "
                            "1 bit, and candidates as many to %d",
                            o->block_bits, o->candidate_bits, CANDIDATE_BITS_MAX);
    if (o->labels != NULL && (o->labels->ndim != 1 || o->labels->shape[0] != images->shape[0] ||
                              o->labels->dtype != ITO_I64))
        return error_status(ITO_ERR_SHAPE, "compress: labels are %s of %s for images %s",
                            tensor_shape_str(o->labels), ito_dtype_name(o->labels->dtype),
                            tensor_shape_str(images));
    for (int64_t i = 0; o->labels != NULL && i < o->labels->shape[0]; i++) {
        int64_t label = ((const int64_t *)tensor_data(o->labels))[i * o->labels->stride[0]];
        if (label < 0 || label > INT32_MAX)
            return error_status(ITO_ERR_RANGE,
                                "compress: label %" PRId64 " is %" PRId64
                                "; labels are at least 0 and below 2^31",
                                i, label);
    }
    return ITO_OK;
}

/* The tensors of out, in the current scope. */
static ito_status make_tables(codec *c, ito_tensor *images)
{
    c->out.times = ito_empty(ITO_SHAPE(c->S), ITO_I64);
    c->out.written = ito_zeros(ITO_SHAPE(c->N, c->S), ITO_F64);
    c->out.bound = ito_zeros(ITO_SHAPE(c->N, c->S), ITO_F64);
    c->out.squares = ito_zeros(ITO_SHAPE(c->N, c->S), ITO_F64);
    ito_tensor *pixels = ito_contiguous(images);
    c->clean = ito_add_scalar(ito_mul_scalar(ito_cast(pixels, ITO_F64), 1.0 / 127.5), -1.0);
    if (c->out.times == NULL || c->out.written == NULL || c->out.bound == NULL ||
        c->out.squares == NULL || pixels == NULL || c->clean == NULL)
        return ito_error_code();
    c->images = tensor_data(pixels);
    for (int64_t i = 0; i < c->S; i++)
        ((int64_t *)tensor_data(c->out.times))[i] = (int64_t)c->steps[i].step.t;
    return ITO_OK;
}

static ito_status compress_images(codec *c, ito_tensor *images, const ito_compress_options *o)
{
    int64_t done;
    c->until = -1;
    c->header =
        (code_header){.info = {.shape = ito_shape_of(images),
                               .labels = o->labels != NULL ? ito_contiguous(o->labels) : NULL,
                               .steps = o->steps,
                               .block_bits = o->block_bits,
                               .candidate_bits = o->candidate_bits,
                               .seed = o->seed},
                      .isa = ito_isa(),
                      .no_clip = o->no_clip};
    coder_write_begin(&c->coder);
    ito_status status = codec_begin(c, true);
    if (status == ITO_OK)
        status = make_tables(c, images);
    if (status == ITO_OK)
        status = codec_run(c, &done);
    if (status == ITO_OK)
        status = coder_write_end(&c->coder);
    if (status != ITO_OK)
        return status;
    c->header.fingerprint = codec_fingerprint(c, o->model);
    c->header.pixels = codec_images_sum(c);
    c->header.stream = c->coder.size;
    c->out.file = code_file_make(&c->header, c->coder.bytes);
    c->out.header = c->header.info.header;
    return c->out.file != NULL ? ITO_OK : ito_error_code();
}

ito_status ito_diffusion_compress_with(const ito_diffusion *d, ito_network *network,
                                       ito_tensor *images, ito_compress_options options,
                                       ito_compressed *out)
{
    if (d == NULL || images == NULL)
        return error_missing("compress", d == NULL ? "the diffusion" : "images");
    ito_status status = check_options(d, images, &options);
    if (status != ITO_OK)
        return status;
    codec c = {.d = d,
               .network = network,
               .progress = options.progress,
               .progress_context = options.progress_context};
    ito_scope_begin();
    ito_no_grad_begin();
    status = compress_images(&c, images, &options);
    ito_no_grad_end();
    codec_end(&c);
    ito_tensor **made[] = {&c.out.file, &c.out.times, &c.out.written, &c.out.bound, &c.out.squares};
    for (int i = 0; i < 5; i++) {
        *made[i] = status == ITO_OK ? ito_keep(*made[i]) : NULL;
        if (status == ITO_OK && *made[i] == NULL)
            status = ito_error_code();
    }
    ito_scope_end();
    if (status == ITO_OK)
        *out = c.out;
    return status;
}

/* ---- decompress ---- */

ito_status ito_compressed_inspect(const uint8_t *bytes, int64_t size, const char *source,
                                  ito_compressed_info *out)
{
    code_header h;
    int64_t stream_size;
    ito_status status = code_file_header(bytes, size, source, &h);
    if (status != ITO_OK)
        return status;
    uint8_t *stream = code_file_stream(&h, bytes, size, source, &stream_size, &h.info.read);
    if (stream == NULL)
        return ito_error_code();
    mem_free(stream);
    *out = h.info;
    return ITO_OK;
}

/* Check that numbers here are the same as where the file was made. */
static ito_status check_sides(codec *c, const ito_decompress_options *o)
{
    if (strcmp(c->header.isa, ito_isa()) != 0)
        return file_error(ITO_ERR_ARGUMENT, o->source,
                          "it was made with %s, and this is %s: their last bits differ (ITO_ISA=%s "
                          "asks for the former)",
                          c->header.isa, ito_isa(), c->header.isa);
    if (c->header.info.steps <= c->d->process->steps) {
        ito_status status = codec_begin(c, false);
        if (status != ITO_OK || c->header.fingerprint == codec_fingerprint(c, o->model))
            return status;
    }
    return file_error(
        ITO_ERR_ARGUMENT, o->source,
        "it was made with another network, another checkpoint of it or another diffusion");
}

/* Run along the stream and fill in the result. */
static ito_status decompress(codec *c, const uint8_t *stream, int64_t size,
                             const ito_decompress_options *o, ito_decompressed *out)
{
    int64_t done = 0;
    coder_read_begin(&c->coder, stream, size, size == c->header.stream);
    out->images = tensor_empty(c->header.info.shape, ITO_U8);
    if (out->images == NULL)
        return ito_error_code();
    c->images = tensor_data(out->images);
    ito_status status = codec_run(c, &done);
    if (status != ITO_OK)
        return status;
    out->t = (int64_t)c->steps[done].step.t;
    out->exact = !c->coder.ended;
    if ((c->coder.ended && !c->stopped && c->coder.complete) ||
        (out->exact && codec_images_sum(c) != c->header.pixels))
        return file_error(ITO_ERR_ARGUMENT, o->source,
                          "it decodes to other images than were compressed; another version or "
                          "build of the program may have made it");
    return ITO_OK;
}

ito_status ito_diffusion_decompress_with(const ito_diffusion *d, ito_network *network,
                                         const uint8_t *bytes, int64_t size,
                                         ito_decompress_options options, ito_decompressed *out)
{
    if (d == NULL)
        return error_missing("decompress", "the diffusion");
    codec c = {.d = d,
               .network = network,
               .until = options.until,
               .progress = options.progress,
               .progress_context = options.progress_context};
    ito_decompressed r = {.images = NULL};
    uint8_t *stream = NULL;
    int64_t there = 0;
    if (options.source == NULL)
        options.source = "decompress";
    ito_scope_begin();
    ito_no_grad_begin();
    ito_status status = code_file_header(bytes, size, options.source, &c.header);
    if (status == ITO_OK)
        status = check_sides(&c, &options);
    if (status == ITO_OK) {
        stream = code_file_stream(&c.header, bytes, size, options.source, &there, &r.read);
        status = stream == NULL ? ito_error_code() : decompress(&c, stream, there, &options, &r);
    }
    ito_no_grad_end();
    codec_end(&c);
    mem_free(stream);
    r.images = status == ITO_OK ? ito_keep(r.images) : NULL;
    ito_scope_end();
    if (status == ITO_OK && r.images == NULL)
        status = ito_error_code();
    if (status == ITO_OK)
        *out = r;
    return status;
}
