/* Fourier transforms: PyTorch's torch.fft, stft and istft, and complex numbers. See ops.h for rules
 * that all operations share.
 *
 * A complex number is two reals, (real, imaginary), side by side along a last axis of size 2, as
 * PyTorch's view_as_real has it: so every operation, dtype and file format serves complex tensors
 * as it is, and gradients are those of the two parts. Axes named in options (dim) do not count it:
 * -1 is the last axis of the numbers.
 *
 * f32, f64 or bf16 (computed in f32). Any length; those without large prime factors are fastest.
 */
#ifndef ITO_OPS_FFT_H
#define ITO_OPS_FFT_H

#include "../tensor/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- complex numbers ---- */

/** Complex numbers from two tensors of one shape: [..] and [..] to [.., 2]. */
ITO_API ito_tensor *ito_complex(ito_tensor *re, ito_tensor *im);
/** Complex numbers of these absolute values and angles in radians: [.., 2]. */
ITO_API ito_tensor *ito_polar(ito_tensor *abs, ito_tensor *angle);
/** The real part of [.., 2]: a view [..]. */
ITO_API ito_tensor *ito_real(ito_tensor *z);
/** The imaginary part of [.., 2]: a view [..]. */
ITO_API ito_tensor *ito_imag(ito_tensor *z);
/** [.., 2] with the sign of the imaginary part changed. */
ITO_API ito_tensor *ito_conj(ito_tensor *z);
/** The complex product of [.., 2] and [.., 2], which broadcast. */
ITO_API ito_tensor *ito_complex_mul(ito_tensor *a, ito_tensor *b);
/** The absolute value of [.., 2]: [..], without overflow. The gradient at 0 is 0. */
ITO_API ito_tensor *ito_complex_abs(ito_tensor *z);
/** The angle of [.., 2] in radians: [..] in [-pi, pi]. The gradient at 0 is 0. */
ITO_API ito_tensor *ito_complex_angle(ito_tensor *z);

/* ---- along one axis ---- */

/** What transforms along one axis take. */
typedef struct ito_fft_options {
    int reserved_;
    int64_t n ITO_DEFAULT(-1); /* the length: the axis is cut or padded with zeros; -1: as it is */
    int dim ITO_DEFAULT(-1);   /* the axis */
    /* "backward": the inverse is divided by n; "ortho": both by its root; "forward": the transform
     * is. NULL: "backward" */
    const char *norm;
} ito_fft_options;
#define ITO_DEFAULTS_ito_fft_options .n = -1, .dim = -1

/** The discrete Fourier transform of [.., N, 2], sums of x_j exp(-2 pi i j k / N): [.., N, 2].
 * ITO_ERR_ARGUMENT for no numbers or an unknown norm, as of all of these. */
ITO_API ito_tensor *ito_fft_fft_with(ito_tensor *x, ito_fft_options options);
/** Its inverse. */
ITO_API ito_tensor *ito_fft_ifft_with(ito_tensor *x, ito_fft_options options);
/** The transform of reals [.., N]: the first half, [.., N / 2 + 1, 2]; the other one is its mirror
 * image. */
ITO_API ito_tensor *ito_fft_rfft_with(ito_tensor *x, ito_fft_options options);
/** The inverse of rfft: [.., K, 2] to reals [.., n], n = 2 (K - 1) unless given: name an odd one.
 * Imaginary parts of the first number, and of the last if n is even, are not read. */
ITO_API ito_tensor *ito_fft_irfft_with(ito_tensor *x, ito_fft_options options);
/** The transform of the first half [.., K, 2] of a signal that is its own conjugate mirror image:
 * reals [.., n], n = 2 (K - 1) unless given. */
ITO_API ito_tensor *ito_fft_hfft_with(ito_tensor *x, ito_fft_options options);
/** The inverse of hfft: reals [.., N] to [.., N / 2 + 1, 2]. */
ITO_API ito_tensor *ito_fft_ihfft_with(ito_tensor *x, ito_fft_options options);
#define ito_fft_fft(...) ITO_AT(ITO_CALL_1(ito_fft_fft_with, ito_fft_options, __VA_ARGS__, ))
#define ito_fft_ifft(...) ITO_AT(ITO_CALL_1(ito_fft_ifft_with, ito_fft_options, __VA_ARGS__, ))
#define ito_fft_rfft(...) ITO_AT(ITO_CALL_1(ito_fft_rfft_with, ito_fft_options, __VA_ARGS__, ))
#define ito_fft_irfft(...) ITO_AT(ITO_CALL_1(ito_fft_irfft_with, ito_fft_options, __VA_ARGS__, ))
#define ito_fft_hfft(...) ITO_AT(ITO_CALL_1(ito_fft_hfft_with, ito_fft_options, __VA_ARGS__, ))
#define ito_fft_ihfft(...) ITO_AT(ITO_CALL_1(ito_fft_ihfft_with, ito_fft_options, __VA_ARGS__, ))

/* ---- along several axes ---- */

/** What transforms along several axes take. */
typedef struct ito_fftn_options {
    int reserved_;
    /* The length along each axis, -1 as it is; by default all as they are. */
    ito_shape s ITO_DEFAULT(ITO_ALL_DIMS);
    /* The axes; by default the last ones that s has a length for, else all. */
    ito_shape dim ITO_DEFAULT(ITO_ALL_DIMS);
    const char *norm; /* as of ito_fft_options, n being the product of lengths */
} ito_fftn_options;
#define ITO_DEFAULTS_ito_fftn_options .s = {.ndim = -1}, .dim = {.ndim = -1}

/** The transform along several axes, one after another. */
ITO_API ito_tensor *ito_fft_fftn_with(ito_tensor *x, ito_fftn_options options);
/** Its inverse. */
ITO_API ito_tensor *ito_fft_ifftn_with(ito_tensor *x, ito_fftn_options options);
/** The transform of reals: rfft along the last of the axes, then fft along the others. */
ITO_API ito_tensor *ito_fft_rfftn_with(ito_tensor *x, ito_fftn_options options);
/** Its inverse; the last length is 2 (K - 1) unless given. */
ITO_API ito_tensor *ito_fft_irfftn_with(ito_tensor *x, ito_fftn_options options);
#define ito_fft_fftn(...) ITO_AT(ITO_CALL_1(ito_fft_fftn_with, ito_fftn_options, __VA_ARGS__, ))
#define ito_fft_ifftn(...) ITO_AT(ITO_CALL_1(ito_fft_ifftn_with, ito_fftn_options, __VA_ARGS__, ))
#define ito_fft_rfftn(...) ITO_AT(ITO_CALL_1(ito_fft_rfftn_with, ito_fftn_options, __VA_ARGS__, ))
#define ito_fft_irfftn(...) ITO_AT(ITO_CALL_1(ito_fft_irfftn_with, ito_fftn_options, __VA_ARGS__, ))

/** What transforms along two axes take. */
typedef struct ito_fft2_options {
    int reserved_;
    ito_shape s ITO_DEFAULT(ITO_ALL_DIMS);
    ito_shape dim ITO_DEFAULT((ITO_SHAPE(-2, -1)));
    const char *norm;
} ito_fft2_options;
#define ITO_DEFAULTS_ito_fft2_options .s = {.ndim = -1}, .dim = {2, {-2, -1}}

/** ito_fft_fftn along the last two axes, as images [.., H, W, 2] are. */
ITO_API ito_tensor *ito_fft_fft2_with(ito_tensor *x, ito_fft2_options options);
/** Its inverse. */
ITO_API ito_tensor *ito_fft_ifft2_with(ito_tensor *x, ito_fft2_options options);
/** ito_fft_rfftn along the last two axes: [.., H, W] to [.., H, W / 2 + 1, 2]. */
ITO_API ito_tensor *ito_fft_rfft2_with(ito_tensor *x, ito_fft2_options options);
/** Its inverse. */
ITO_API ito_tensor *ito_fft_irfft2_with(ito_tensor *x, ito_fft2_options options);
#define ito_fft_fft2(...) ITO_AT(ITO_CALL_1(ito_fft_fft2_with, ito_fft2_options, __VA_ARGS__, ))
#define ito_fft_ifft2(...) ITO_AT(ITO_CALL_1(ito_fft_ifft2_with, ito_fft2_options, __VA_ARGS__, ))
#define ito_fft_rfft2(...) ITO_AT(ITO_CALL_1(ito_fft_rfft2_with, ito_fft2_options, __VA_ARGS__, ))
#define ito_fft_irfft2(...) ITO_AT(ITO_CALL_1(ito_fft_irfft2_with, ito_fft2_options, __VA_ARGS__, ))

/* ---- frequencies ---- */

/** Frequencies of the numbers that a transform of n samples, d apart, gives, in cycles per unit: 0,
 * 1, ..., then the negative ones, over n d. f32 or f64, as of all new tensors. */
ITO_API ito_tensor *ito_fft_fftfreq(int64_t n, double d, ito_dtype dtype);
/** The same of rfft: n / 2 + 1 of them, none negative. */
ITO_API ito_tensor *ito_fft_rfftfreq(int64_t n, double d, ito_dtype dtype);
/** Frequency 0 in the middle of the axes (ITO_ALL_DIMS: of all). Axes of x as they are: name those
 * of complex numbers, and not their last. Any dtype. */
ITO_API ito_tensor *ito_fft_fftshift(ito_tensor *x, ito_shape dims);
/** The inverse of fftshift. */
ITO_API ito_tensor *ito_fft_ifftshift(ito_tensor *x, ito_shape dims);

/* ---- short-time transforms ---- */

/** What ito_stft and ito_istft take. */
typedef struct ito_stft_options {
    int reserved_;
    int64_t hop_length ITO_DEFAULT(-1); /* from frame to frame; -1: n_fft / 4 */
    int64_t win_length ITO_DEFAULT(-1); /* of the window, in the middle of a frame; -1: n_fft */
    ito_tensor *window;                 /* [win_length]; NULL: ones */
    bool center
        ITO_DEFAULT(true); /* frame t is centred at sample t hop_length: the signal is padded */
    bool pad_constant;     /* with zeros, not with its reflection */
    bool normalized;       /* by the root of n_fft */
    bool onesided ITO_DEFAULT(true); /* the first n_fft / 2 + 1 frequencies */
    int64_t length ITO_DEFAULT(-1);  /* istft: samples of the result; -1: what frames cover */
} ito_stft_options;
#define ITO_DEFAULTS_ito_stft_options                                                              \
    .hop_length = -1, .win_length = -1, .center = true, .onesided = true, .length = -1

/**
 * Transforms of overlapping frames of a real signal: ito_stft(x, 512, .window = w).
 * @param x      [L] or [B, L].
 * @param n_fft  samples in a frame.
 * @return       [F, T, 2] or [B, F, T, 2]: F = n_fft / 2 + 1 frequencies (or n_fft), T frames.
 *               ITO_ERR_ARGUMENT for a signal, hop or window that does not fit.
 */
ITO_API ito_tensor *ito_stft_with(ito_tensor *x, int64_t n_fft, ito_stft_options options);
/** The signal that ito_stft made [F, T, 2] or [B, F, T, 2] of, by least squares (Griffin, Lim
 * 1984): [L] or [B, L]. ITO_ERR_NUMERIC where windows leave a sample uncovered. */
ITO_API ito_tensor *ito_istft_with(ito_tensor *x, int64_t n_fft, ito_stft_options options);
#define ito_stft(...) ITO_AT(ITO_CALL_2(ito_stft_with, ito_stft_options, __VA_ARGS__, ))
#define ito_istft(...) ITO_AT(ITO_CALL_2(ito_istft_with, ito_stft_options, __VA_ARGS__, ))

/** Hann's window, 0.5 - 0.5 cos(2 pi k / n), of n samples of a period: [n]. */
ITO_API ito_tensor *ito_hann_window(int64_t n, ito_dtype dtype);
/** Hamming's, 0.54 - 0.46 cos(2 pi k / n). */
ITO_API ito_tensor *ito_hamming_window(int64_t n, ito_dtype dtype);

#ifdef __cplusplus
}
#endif

#ifndef ITO_BUILD
#define ito_complex(...) ITO_AT(ito_complex(__VA_ARGS__))
#define ito_complex_abs(...) ITO_AT(ito_complex_abs(__VA_ARGS__))
#define ito_complex_angle(...) ITO_AT(ito_complex_angle(__VA_ARGS__))
#define ito_complex_mul(...) ITO_AT(ito_complex_mul(__VA_ARGS__))
#define ito_conj(...) ITO_AT(ito_conj(__VA_ARGS__))
#define ito_fft_fftfreq(...) ITO_AT(ito_fft_fftfreq(__VA_ARGS__))
#define ito_fft_fftshift(...) ITO_AT(ito_fft_fftshift(__VA_ARGS__))
#define ito_fft_ifftshift(...) ITO_AT(ito_fft_ifftshift(__VA_ARGS__))
#define ito_fft_rfftfreq(...) ITO_AT(ito_fft_rfftfreq(__VA_ARGS__))
#define ito_hamming_window(...) ITO_AT(ito_hamming_window(__VA_ARGS__))
#define ito_hann_window(...) ITO_AT(ito_hann_window(__VA_ARGS__))
#define ito_imag(...) ITO_AT(ito_imag(__VA_ARGS__))
#define ito_polar(...) ITO_AT(ito_polar(__VA_ARGS__))
#define ito_real(...) ITO_AT(ito_real(__VA_ARGS__))
#endif

#endif
