/* Fourier transforms along one axis. Internal.
 *
 * Our own, since FFTW is GPL, which would bind users of this MIT library, and Debian 12 has no
 * pocketfft (BSD) and a kissfft of f32 only. Stockham's form of Cooley and Tukey: no reordering,
 * and the innermost loop runs over contiguous numbers; radices 2, 3, 4, 5 and any prime up to 31;
 * lengths with a larger prime factor by Bluestein's convolution, in double. Roots of unity are
 * within one unit in the last place of double. A real transform of even length is a complex one of
 * half the length. Several rows are worked on at once, element by element: a row's bits depend on
 * it alone.
 */
#ifndef ITO_TENSOR_FFT_H
#define ITO_TENSOR_FFT_H

#include "tensor/internal.h"

typedef enum fft_kind {
    FFT_COMPLEX,      /* [.., N, 2] to [.., N, 2] */
    FFT_REAL,         /* [.., N] to [.., N / 2 + 1, 2]: the half that the other follows from */
    FFT_REAL_INVERSE, /* [.., N / 2 + 1, 2] to [.., N]: the inverse of FFT_REAL, times N */
} fft_kind;

typedef struct fft_call {
    fft_kind kind;
    int axis;     /* of N: the same number in x and in y */
    int64_t n;    /* N, at least 1 */
    bool inverse; /* FFT_COMPLEX: exponents have a positive sign */
    double scale; /* of the result */
} fft_call;

/* y = the transform of x. Both are f32, f64 or bf16 (computed in f32), of shapes that fit; y is
 * fresh. false with an error if there is no memory. */
bool fft(ito_tensor *y, const ito_tensor *x, const fft_call *call);

#endif
