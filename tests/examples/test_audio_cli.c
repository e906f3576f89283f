/* ito-audio: what its tones are, that it learns them, what it writes and refuses. */
#include "tests/examples/cli.h"

#include "tensor/io/image.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { HEAD = 44, LENGTH = 2048, TONES = 8 };

static void enter(void)
{
    cli_enter();
    program = "ito-audio";
}

TestSuite(cli_audio, .init = enter, .fini = cli_leave, .timeout = 600);

#define TINY_AUDIO "--batch 8 --width 8 --n 32 --sampling-steps 2 "

/* The number behind the words, in what was said. */
static double figure(const char *words)
{
    const char *at = strstr(said, words);
    cr_assert_not_null(at, "%s", said);
    return atof(at + strlen(words));
}

/* The samples of a file of eight tones, whose head says 16-bit PCM, one channel, 8 kHz. */
static const int16_t *read_wav(const char *path)
{
    static unsigned char bytes[HEAD + 2 * TONES * LENGTH + 1];
    static int16_t pcm[TONES * LENGTH];
    static const unsigned char head[HEAD] =
        "RIFF\x24\x80\0\0WAVEfmt "
        "\x10\0\0\0\x01\0\x01\0\x40\x1f\0\0\x80\x3e\0\0\x02\0\x10\0data\0\x80";
    FILE *f = fopen(path, "rb");
    cr_assert_not_null(f);
    cr_assert_eq(fread(bytes, 1, sizeof bytes, f), sizeof bytes - 1);
    fclose(f);
    cr_assert_eq(memcmp(bytes, head, HEAD), 0);
    memcpy(pcm, bytes + HEAD, sizeof pcm);
    return pcm;
}

/* The power of a tone at a frequency, by the sum that defines it. */
static double power_at(const int16_t *tone, double hertz)
{
    double re = 0.0, im = 0.0;
    for (int i = 0; i < LENGTH; i++) {
        double angle = 2.0 * M_PI * hertz * i / 8000.0;
        double window = 1.0 - cos(2.0 * M_PI * i / LENGTH);
        re += window * tone[i] * cos(angle);
        im += window * tone[i] * sin(angle);
    }
    return re * re + im * im;
}

Test(cli_audio, the_data_are_notes_of_c_major)
{
    succeeds(run(TINY_AUDIO "--steps 1 --out a"));
    const int16_t *pcm = read_wav("a/data.wav");
    static const int semitones[TONES] = {0, 2, 4, 5, 7, 9, 11, 12};
    for (int note = 0; note < TONES; note++) {
        const int16_t *tone = pcm + note * LENGTH;
        int best = -12;
        for (int k = -12; k <= 36; k++)
            if (power_at(tone, 440.0 * exp2((k - 9) / 12.0)) >
                power_at(tone, 440.0 * exp2((best - 9) / 12.0)))
                best = k;
        cr_expect_eq(best, semitones[note], "note %d: %d semitones above C4", note, best);
    }
    cr_expect_eq(figure("of samples, "), 100.0, "%s", said);
}

Test(cli_audio, bits_do_not_depend_on_threads_but_on_the_seed)
{
    succeeds(run(TINY_AUDIO "--steps 2 --out a --threads 1"));
    succeeds(run(TINY_AUDIO "--steps 2 --out b --threads 2"));
    succeeds(run(TINY_AUDIO "--steps 2 --out c --seed 1"));
    cr_expect(same_file("a/samples.wav", "b/samples.wav"));
    cr_expect(same_file("a/spectra.png", "b/spectra.png"));
    cr_expect_not(same_file("a/samples.wav", "c/samples.wav"));
    ito_tensor *picture = ito_image_load("a/spectra.png", 3);
    cr_assert_not_null(picture, "%s", ito_error());
    cr_expect_eq(ito_size(picture, 1), 2 * 160 + 3 * 2);
    cr_expect_eq(ito_size(picture, 2), 8 * 65 + 9 * 2);
}

/* By chance next to no note is met. */
Test(cli_audio, training_brings_samples_to_the_data)
{
    succeeds(run(TINY_AUDIO "--steps 1 --out a"));
    double before = figure("spectral distance: ");
    cr_expect_lt(figure("in tune: "), 15.0, "%s", said);
    succeeds(run(TINY_AUDIO "--steps 200 --lr 0.01 --sampling-steps 10 --out a"));
    double after = figure("spectral distance: ");
    cr_expect_lt(after, 0.5 * before, "from %g to %g", before, after);
    cr_expect_gt(figure("in tune: "), 40.0, "%s", said);
}

Test(cli_audio, what_it_cannot_do_is_refused)
{
    is_usage_error("--n 31", "--n");
    is_usage_error("--width 12 --steps 1", "--width: 12 is not a multiple of 8");
    fails_with(run(TINY_AUDIO "--steps 1 --out nowhere/a"), "nowhere/a/spectra.png: cannot");
}
