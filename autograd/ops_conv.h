/* Convolution in one, two and three dimensions, and its transpose. What ops.h says of all
 * operations holds here.
 */
#ifndef ITO_OPS_CONV_H
#define ITO_OPS_CONV_H

#include "../tensor/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

/** As a padding: so much on both sides that a convolution of stride 1 keeps the size; one more at
 * the end where the kernel's reach is odd. */
#define ITO_PADDING_SAME (-1)

/** What lies around an image: zeros; its mirror image, without the border itself; the border's own
 * value; or the image again. */
typedef enum ito_padding_mode {
    ITO_PADDING_ZEROS,
    ITO_PADDING_REFLECT,
    ITO_PADDING_REPLICATE,
    ITO_PADDING_CIRCULAR
} ito_padding_mode;

/** What convolutions take besides tensors. A number holds for each axis; where axes differ, a list
 * with one number for each takes its place: .strides = ITO_SHAPE(2, 1) is 2 down, 1 across. */
typedef struct ito_conv_options {
    int reserved_;
    int64_t stride ITO_DEFAULT(1);
    int64_t padding;     /* on both sides of each axis, or ITO_PADDING_SAME */
    int64_t padding_end; /* further ones at the end: a stride-2 U-Net pads 0 and 1 */
    int64_t dilation ITO_DEFAULT(1);
    int64_t groups ITO_DEFAULT(1);
    ito_tensor *add; /* added to the result: shaped as it, or [N, O, 1, ..] */
    ito_shape strides;
    ito_shape paddings;
    ito_shape dilations;
    ito_padding_mode padding_mode;
} ito_conv_options;
#define ITO_DEFAULTS_ito_conv_options .stride = 1, .dilation = 1, .groups = 1

/**
 * 2-D convolution (cross-correlation, as in PyTorch): ito_conv2d(x, w, b, .stride = 2, .padding =
 * 1).
 * @param x  [N, C, H, W].
 * @param w  [O, C / groups, KH, KW]; f32 where x is bf16, as b.
 * @param b  [O], or NULL for none.
 * @return   [N, O, OH, OW], channels-last in memory, with
 *           OH = (H + 2 padding + padding_end - dilation (KH - 1) - 1) / stride + 1, rounded down.
 *           With .add = t the sum costs no pass over memory of its own; NULL adds nothing, so ask
 *           for an error where t may have failed. ITO_ERR_ARGUMENT for options out of range.
 */
ITO_API ito_tensor *ito_conv2d_with(ito_tensor *x, ito_tensor *w, ito_tensor *b,
                                    ito_conv_options options);
/** 1-D convolution of x [N, C, L] with w [O, C / groups, K]: [N, O, OL]. As ito_conv2d. */
ITO_API ito_tensor *ito_conv1d_with(ito_tensor *x, ito_tensor *w, ito_tensor *b,
                                    ito_conv_options options);
/** 3-D convolution of x [N, C, D, H, W] with w [O, C / groups, KD, KH, KW]: [N, O, OD, OH, OW]. As
 * ito_conv2d, and by way of it: the slices that a result sees become channels, so that for the time
 * of the call there are KD copies of x. */
ITO_API ito_tensor *ito_conv3d_with(ito_tensor *x, ito_tensor *w, ito_tensor *b,
                                    ito_conv_options options);
#define ito_conv1d(...) ITO_AT(ITO_CALL_3(ito_conv1d_with, ito_conv_options, __VA_ARGS__, ))
#define ito_conv2d(...) ITO_AT(ITO_CALL_3(ito_conv2d_with, ito_conv_options, __VA_ARGS__, ))
#define ito_conv3d(...) ITO_AT(ITO_CALL_3(ito_conv3d_with, ito_conv_options, __VA_ARGS__, ))

/** What transposed convolutions take besides tensors; lists as in ito_conv_options. */
typedef struct ito_conv_transpose_options {
    int reserved_;
    int64_t stride ITO_DEFAULT(1);
    int64_t padding;        /* so much is cut off on both sides */
    int64_t output_padding; /* so much is added at the end; less than the stride or the dilation */
    int64_t groups ITO_DEFAULT(1);
    int64_t dilation ITO_DEFAULT(1);
    ito_shape strides;
    ito_shape paddings;
    ito_shape output_paddings;
    ito_shape dilations;
} ito_conv_transpose_options;
#define ITO_DEFAULTS_ito_conv_transpose_options .stride = 1, .groups = 1, .dilation = 1

/**
 * Transposed 2-D convolution, the gradient of ito_conv2d with respect to its image:
 * ito_conv_transpose2d(x, w, b, .stride = 2, .padding = 1).
 * @param x  [N, C, H, W].
 * @param w  [C, O / groups, KH, KW]; f32 where x is bf16, as b.
 * @param b  [O], or NULL for none.
 * @return   [N, O, OH, OW], channels-last in memory, with
 *           OH = (H - 1) stride - 2 padding + dilation (KH - 1) + output_padding + 1.
 *           ITO_ERR_ARGUMENT for options out of range, ITO_ERR_SHAPE if nothing is left.
 */
ITO_API ito_tensor *ito_conv_transpose2d_with(ito_tensor *x, ito_tensor *w, ito_tensor *b,
                                              ito_conv_transpose_options options);
/** Of x [N, C, L] with w [C, O / groups, K]: [N, O, OL]. As ito_conv_transpose2d. */
ITO_API ito_tensor *ito_conv_transpose1d_with(ito_tensor *x, ito_tensor *w, ito_tensor *b,
                                              ito_conv_transpose_options options);
/** Of x [N, C, D, H, W] with w [C, O / groups, KD, KH, KW]: [N, O, OD, OH, OW]. As
 * ito_conv_transpose2d. */
ITO_API ito_tensor *ito_conv_transpose3d_with(ito_tensor *x, ito_tensor *w, ito_tensor *b,
                                              ito_conv_transpose_options options);
#define ito_conv_transpose1d(...)                                                                  \
    ITO_AT(ITO_CALL_3(ito_conv_transpose1d_with, ito_conv_transpose_options, __VA_ARGS__, ))
#define ito_conv_transpose2d(...)                                                                  \
    ITO_AT(ITO_CALL_3(ito_conv_transpose2d_with, ito_conv_transpose_options, __VA_ARGS__, ))
#define ito_conv_transpose3d(...)                                                                  \
    ITO_AT(ITO_CALL_3(ito_conv_transpose3d_with, ito_conv_transpose_options, __VA_ARGS__, ))

#ifdef __cplusplus
}
#endif

#endif
