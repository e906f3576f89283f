/* ito-ddpm: train a DDPM, sample from it, inspect its files. */
#include "examples/common/options.h"
#include "examples/ddpm/commands/commands.h"

#include <ito/ito.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const struct {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *doc;
} commands[] = {
    {"train", command_train, "learn from images; leaves a run directory, goes on with one"},
    {"sample", command_sample, "make images with a trained network"},
    {"eval", command_eval,
     "say how close generated images come to real ones, or the bound on these"},
    {"interpolate", command_interpolate, "make the images between two images"},
    {"inpaint", command_inpaint, "complete an image"},
    {"edit", command_edit, "change an image: noise it part of the way and make it anew"},
    {"encode", command_encode, "find the noise that images come from"},
    {"decode", command_decode, "make images of such noise"},
    {"compress", command_compress, "put images into a small file, exactly"},
    {"decompress", command_decompress, "get them back, or what a part of the file tells of them"},
    {"export", command_export, "write a trained network to one file that stands alone"},
    {"classifier", command_classifier, "train a classifier that guides samples to a class"},
    {"info", command_info, "say what a checkpoint, run or data set holds, having verified it"},
    {"plot", command_plot, "draw noise schedules, and an image on its way to noise"},
    {"report", command_report, "write report.html of a run: its curves, samples and settings"},
    {"compare", command_compare, "put runs side by side in one page: curves, samples, figures"},
    {"list", command_list, "list the runs in a directory, with their settings and results"},
};

enum { COMMANDS = sizeof commands / sizeof commands[0] };

static void print_usage(FILE *file)
{
    fprintf(file, "Usage: ito-ddpm ");
    for (int i = 0; i < COMMANDS; i++)
        fprintf(file, "%s%s", i > 0 ? "|" : "", commands[i].name);
    fprintf(file, " [OPTION...] (see ito-ddpm --help)\n");
}

static int one_too_many(const char *argument)
{
    fprintf(stderr, "ito-ddpm: \"%s\" is one argument too many\n", argument);
    print_usage(stderr);
    return EXIT_USAGE;
}

/* The command of this name, or NULL after a message. */
static int (*find_command(const char *name))(int argc, char **argv)
{
    for (int i = 0; i < COMMANDS; i++)
        if (strcmp(name, commands[i].name) == 0)
            return commands[i].run;
    fprintf(stderr, "ito-ddpm: there is no command \"%s\"\n", name);
    print_usage(stderr);
    return NULL;
}

static int print_help(void)
{
    printf("Usage: ito-ddpm COMMAND [OPTION...]\n"
           "Denoising diffusion probabilistic models (Ho, Jain, Abbeel 2020), in C.\n\n");
    for (int i = 0; i < COMMANDS; i++)
        printf("  %-12s %s\n", commands[i].name, commands[i].doc);
    printf(
        "\nito-ddpm COMMAND --help lists what a command takes.\n\n"
        "  ito-ddpm sample --class boot --guidance 2\n"
        "  ito-ddpm train --data fashion-mnist --out run\n"
        "  ito-ddpm sample --model run --out grid.png\n"
        "  ito-ddpm info run\n\n"
        "ITO_ISA=base|avx2|avx512|avx512bf16|amx in the environment asks for an instruction set.\n"
        "Exit codes: 0 done, 1 failed, 2 wrong usage, 128 + n stopped by signal n.\n");
    return fflush(stdout) == 0 ? 0 : 1;
}

/* A batch that is too large is an error. Without the limit the system would grant the memory and
 * kill the program for using it. A tenth is left to other programs. */
static void limit_memory(void)
{
    int64_t pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
    if (pages > 0 && page > 0)
        ito_memory_limit(pages / 10 * 9 * page);
}

int main(int argc, char **argv)
{
    /* A closed stdout must not end training before a checkpoint, and a limit on the size of files
     * is an error like a full disk. */
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN);
    if (argc < 2) {
        fprintf(stderr, "ito-ddpm: there is no command\n");
        print_usage(stderr);
        return EXIT_USAGE;
    }
    bool help = strcmp(argv[1], "help") == 0, version = strcmp(argv[1], "--version") == 0;
    if (argc > 2 + help && (help || version))
        return one_too_many(argv[2 + help]);
    if (help && argc == 3) {
        int (*run)(int, char **) = find_command(argv[2]);
        char *asked[] = {argv[2], (char[]){"--help"}, NULL};
        return run != NULL ? run(2, asked) : EXIT_USAGE;
    }
    if (help || strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)
        return print_help();
    if (version) {
        printf("ito-ddpm %s\n", ito_version());
        return fflush(stdout) == 0 ? 0 : 1;
    }
    if (ito_isa_check() != ITO_OK) {
        fprintf(stderr, "ito-ddpm: %s\n", ito_error_message());
        return EXIT_USAGE;
    }
    limit_memory();
    int (*run)(int, char **) = find_command(argv[1]);
    return run != NULL ? run(argc - 1, argv + 1) : EXIT_USAGE;
}
