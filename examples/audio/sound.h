/* Tones of eight notes, and how those that a network has made compare with them. A tone is a wave
 * of a quarter of a second, [1, LENGTH], of a deviation of about 1. All functions give NULL or NaN
 * after an error. */
#ifndef ITO_AUDIO_SOUND_H
#define ITO_AUDIO_SOUND_H

#include <ito/ito.h>

enum { RATE = 8000 /* samples a second */, LENGTH = 2048, NOTES = 8 };

/* Tones of these notes of C major, 0 is C4: [n, 1, LENGTH]. In tune within 5 cents, every third
 * with the fifth above it, with an attack, a decay, and noise of 0.01. */
ito_tensor *tones(ito_tensor *notes, ito_generator *g);
/* The percentage of tones whose strongest frequency is within 20 cents of their note's. */
double in_tune(ito_tensor *x, ito_tensor *notes);
/* The Frechet distance of two sets by their decibels in 8 bands of the first half and the last. */
double spectral_distance(ito_tensor *a, ito_tensor *b);
/* The spectra of eight tones over time: [8, 1, 160, 65], up to 2.5 kHz, from -60 dB, -1, to 0, 1.
 */
ito_tensor *spectra(ito_tensor *x);
/* Write the first eight tones, one after another, as 16-bit PCM. False with an error recorded. */
bool save_wav(const char *dir, const char *name, ito_tensor *x);

#endif
