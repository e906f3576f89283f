/* ito-ddpm: train a DDPM, sample from it, inspect its files. */
#include "ddpm_commit.h"
#include "examples/common/completion.h"
#include "examples/common/messages.h"
#include "examples/common/options.h"
#include "examples/common/program.h"
#include "examples/common/ranks.h"
#include "examples/common/version.h"
#include "examples/ddpm/commands/commands.h"

#include <ito/ito.h>
#include <signal.h>
#include <unistd.h>

static const program_command commands[] = {
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
    {"prepare", command_prepare, "decode a data set once, into a file that opens in no time"},
    {"info", command_info, "say what a checkpoint, run or data set holds, having verified it"},
    {"plot", command_plot, "draw noise schedules, and an image on its way to noise"},
    {"report", command_report, "write report.html of a run: its curves, samples and settings"},
    {"compare", command_compare, "put runs side by side in one page: curves, samples, figures"},
    {"list", command_list, "list the runs in a directory, with their settings and results"},
    {"completion", command_completion, "print what makes bash, zsh or fish complete command lines"},
    {"man", command_man, "print the man page of a command"},
    {"complete", completion_print, NULL}, /* for the shells */
    {NULL, NULL, NULL},
};

static const program this_program = {
    .doc = "Denoising diffusion probabilistic models (Ho, Jain, Abbeel 2020), in C.",
    .after =
        "\n"
        "  ito-ddpm sample --class boot --guidance 2\n"
        "  ito-ddpm train --data fashion-mnist --out run\n"
        "  ito-ddpm sample --model run --out grid.png\n"
        "  ito-ddpm info run\n"
        "\n"
        "ITO_ISA=base|avx2|avx512|avx512bf16|amx (on Arm base|neon|neonbf16) in the environment "
        "asks for an instruction set, and NO_COLOR=1 for plain text in a terminal.\n"
        "Exit codes: 0 done, 1 failed, 2 wrong usage, 128 + n stopped by signal n.",
    .commands = commands,
};

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
    if (ito_isa_check() != ITO_OK) {
        complain("", "%s", ito_error_message());
        return EXIT_USAGE;
    }
    limit_memory();
    version_commit = ITO_COMMIT;
    if (!ranks_begin(argc, argv, "train|sample|eval"))
        return 1;
    return program_run(&this_program, argc, argv);
}
