/* Tones by their harmonics, and what is measured of them by Fourier transforms. */
#include "examples/audio/sound.h"

#include <math.h>
#include <stdio.h>

/* The frequency of note i, in Hz. */
static double note_of(const ito_tensor *notes, int64_t i)
{
    static const int semitones[NOTES] = {0, 2, 4, 5, 7, 9, 11, 12};
    return 261.6256 * exp2(semitones[((const int64_t *)ito_const_data(notes))[i]] / 12.0);
}

static double between(ito_generator *g, double low, double high)
{
    return low + (high - low) * ito_uniform(g);
}

/* Add five harmonics of f to the wave, each weaker than the last, in any phase. */
static void add_harmonics(float *wave, double f, double amplitude, ito_generator *g)
{
    double ratio = between(g, 0.2, 0.6);
    for (int h = 1; h <= 5; h++, amplitude *= ratio) {
        double phase = between(g, 0.0, 2.0 * M_PI);
        for (int i = 0; i < LENGTH; i++)
            wave[i] += (float)(amplitude * sin(phase + 2.0 * M_PI * f * h * i / RATE));
    }
}

ito_tensor *tones(ito_tensor *notes, ito_generator *g)
{
    int64_t n = notes == NULL ? 0 : ito_numel(notes);
    ito_tensor *noise = ito_randn(g, ITO_SHAPE(n, 1, LENGTH), ITO_F32);
    ito_tensor *x = ito_zeros(ITO_SHAPE(n, 1, LENGTH), ITO_F32);
    for (int64_t k = 0; x != NULL && k < n; k++) {
        float *wave = (float *)ito_data(x) + k * LENGTH;
        double f = note_of(notes, k) * exp2(between(g, -5.0, 5.0) / 1200.0);
        add_harmonics(wave, f, 2.0, g);
        if (ito_uniform(g) < 1.0 / 3.0)
            add_harmonics(wave, 1.5 * f, 1.0, g);
        double attack = RATE * between(g, 0.005, 0.04), decay = RATE * between(g, 0.1, 0.6);
        for (int i = 0; i < LENGTH; i++)
            wave[i] *= (float)(fmin(i / attack, 1.0) * exp(-i / decay));
    }
    return ito_axpby(1.0, x, 0.01, noise);
}

/* The power of frames of 64 ms, 4 ms apart: [N, 1, 257, 65], low frequencies first. */
static ito_tensor *spectrogram(ito_tensor *x)
{
    ito_tensor *z = ito_stft(ito_reshape(x, -1, LENGTH), 512, .hop_length = 32,
                             .window = ito_hann_window(512, ITO_F32));
    return ito_unsqueeze(ito_square(ito_complex_abs(z)), 1);
}

double in_tune(ito_tensor *x, ito_tensor *notes)
{
    enum { POINTS = 16384 };
    ito_tensor *wave = ito_mul(ito_reshape(x, -1, LENGTH), ito_hann_window(LENGTH, ITO_F32));
    ito_tensor *peak = ito_argmax(ito_complex_abs(ito_fft_rfft(wave, .n = POINTS)), .dim = 1);
    int64_t n = ito_numel(notes), right = 0;
    if (peak == NULL)
        return (double)NAN;
    for (int64_t i = 0; i < n; i++) {
        double f = (double)((const int64_t *)ito_const_data(peak))[i] * RATE / POINTS;
        right += fabs(1200.0 * log2(f / note_of(notes, i))) <= 20.0;
    }
    return 100.0 * (double)right / (double)n;
}

double spectral_distance(ito_tensor *a, ito_tensor *b)
{
    ito_tensor *decibels[2] = {a, b};
    for (int i = 0; i < 2; i++) {
        ito_tensor *power = ito_adaptive_avg_pool2d(spectrogram(decibels[i]), ITO_SHAPE(8, 2));
        decibels[i] = ito_log(ito_add_scalar(ito_reshape(power, -1, 16), 1.0));
        decibels[i] = ito_mul_scalar(decibels[i], 10.0 / log(10.0));
    }
    return ito_frechet_distance(decibels[0], decibels[1]);
}

ito_tensor *spectra(ito_tensor *x)
{
    ito_tensor *power = ito_narrow(spectrogram(ito_narrow(x, 0, 0, NOTES)), 2, 0, 160);
    power = ito_div(power, ito_max(power));
    ito_tensor *level = ito_log(ito_add_scalar(ito_flip(power, 2), 1e-6));
    return ito_add_scalar(ito_mul_scalar(level, 2.0 / log(1e6)), 1.0);
}

bool save_wav(const char *dir, const char *name, ito_tensor *x)
{
    double wave[NOTES * LENGTH];
    int16_t pcm[NOTES * LENGTH];
    const uint32_t size = sizeof pcm,
                   head[11] = {
                       0x46464952, 36 + size,  0x45564157, 0x20746d66, /* "RIFF", "WAVE", "fmt " */
                       16,         0x10001,    RATE,       2 * RATE,   /* PCM, one channel */
                       0x100002,   0x61746164, size}; /* 2 bytes, 16 bits; "data" */
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    if (ito_to_data(ito_narrow(x, 0, 0, NOTES), wave, ITO_F64) != ITO_OK)
        return false;
    for (int i = 0; i < NOTES * LENGTH; i++)
        pcm[i] = (int16_t)lrint(32767.0 * fmin(fmax(wave[i] / 6.0, -1.0), 1.0));
    FILE *f = fopen(path, "wb");
    bool good = f != NULL && fwrite(head, sizeof head, 1, f) == 1 && fwrite(pcm, size, 1, f) == 1;
    if ((f == NULL || fclose(f) == 0) && good)
        return true;
    return ito_error_set(ITO_ERR_IO, "%s: cannot write it", path) == ITO_OK;
}
