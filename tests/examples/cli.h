/* Running ito-ddpm, or another program beside it, from tests: a suite's directory, the program's
 * exit code, what it said and what it left behind. A test is in a directory of its own, which has
 * data.npy: 40 grey images of 8x8.
 */
#ifndef ITO_TESTS_CLI_H
#define ITO_TESTS_CLI_H

#include "tensor/tensor.h"

/* A network of a few thousand parameters, and no samples on the way. */
#define TINY "--channels 8 --multipliers 1,2 --blocks 1 --batch 4 --diffusion-steps 20"
#define QUIET "--sample-every 0"
/* The same network of the images of write_classes. */
#define FOLDER                                                                                     \
    "train --data folder:photos --size 8 --grey --batch 4 --channels 8 --multipliers 1,2 "         \
    "--blocks 1 --diffusion-steps 20 --checkpoint-every 2 "

/* For TestSuite(name, .init = cli_enter, .fini = cli_leave, .timeout = 120). */
void cli_enter(void);
void cli_leave(void);

extern char said[65536], complained[65536]; /* by the last run, on stdout and stderr */

extern const char *program; /* "ito-ddpm" */

/* Run the program with these arguments, a piece of shell; its exit code. */
int run(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Run commands of the shell; the exit code of the last. */
int run_shell(const char *commands);
/* Run a command of the shell in a terminal of its own of this kind (TERM), where these keys are
 * pressed; what the terminal shows is in said. The exit code. */
int run_in_terminal(const char *term, const char *command, const char *keys);
/* What a run's exit code must be: 0. */
void succeeds(int code);
/* 1, with one line on stderr that has these words. */
void fails_with(int code, const char *words);
/* 2, for these arguments, with these words and the usage line on stderr. */
void is_usage_error(const char *arguments, const char *words);
/* The number of that name in what was said as JSON. */
double number(const char *name);

int count_lines(const char *text);
/* The step of the newest checkpoint of run r. */
int newest(void);

/* Train on data.npy to a new directory. */
void train_tiny(const char *out, const char *more);

/* Random u8 images [n, 1, side, side]. */
void write_images(const char *path, int64_t n, int64_t side);
/* dir with n square PNG files of one grey. */
void write_class(const char *dir, int n, int64_t side, int grey);
/* photos/cat and photos/dog: three files each, black ones and white ones. */
void write_classes(void);
/* A file of bytes as those of MNIST: four-byte sizes, most significant byte first. */
void write_idx(const char *path, const ito_tensor *t);
void write_npy(const char *path, ito_tensor *t);
void put_file(const char *path, const char *text);
void slurp(const char *path, char *out, size_t room);
bool there(const char *path);
bool same_file(const char *a, const char *b);
void same_directory(const char *a, const char *b);

#endif
