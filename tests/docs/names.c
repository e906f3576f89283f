/* The names of a U-Net's tensors in the files of other programs as Markdown tables, by the table
 * that reads them: models/ddpm/network/unet_names.def. names places|parts|parameters */
#include <stdio.h>
#include <string.h>

typedef struct row {
    const char *cell[5];
} row;

static const row places[] = {
#define UNET_PLACE(here, guided, ddim, tensorflow) {{here, guided, ddim, tensorflow}},
#include "models/ddpm/network/unet_names.def"
#undef UNET_PLACE
    {{NULL}}};
static const row parts[] = {
#define UNET_PART(here, old, guided, ddim, tensorflow) {{here, old, guided, ddim, tensorflow}},
#include "models/ddpm/network/unet_names.def"
#undef UNET_PART
    {{NULL}}};
static const row parameters[] = {
#define UNET_PARAMETER(here, pytorch, tensorflow) {{here, pytorch, tensorflow}},
#include "models/ddpm/network/unet_names.def"
#undef UNET_PARAMETER
    {{NULL}}};

/* "a|b" as `a` or `b`. */
static void print_cell(const char *text)
{
    if (text == NULL) {
        printf(" - |");
        return;
    }
    printf(" `");
    for (; *text != '\0'; text++)
        if (*text == '|')
            printf("` or `");
        else
            putchar(*text);
    printf("` |");
}

static void print_table(const char *head, int columns, const row *rows)
{
    printf("%s\n|", head);
    for (int i = 0; i < columns; i++)
        printf(" --- |");
    printf("\n");
    for (; rows->cell[0] != NULL; rows++) {
        printf("|");
        for (int i = 0; i < columns; i++)
            print_cell(rows->cell[i]);
        printf("\n");
    }
}

int main(int argc, char **argv)
{
    const char *what = argc == 2 ? argv[1] : "";
    if (strcmp(what, "places") == 0)
        print_table("| diffusers and Ito | guided-diffusion | DDIM | TensorFlow |", 4, places);
    else if (strcmp(what, "parts") == 0)
        print_table(
            "| diffusers and Ito | diffusers before 0.17 | guided-diffusion | DDIM | TensorFlow |",
            5, parts);
    else if (strcmp(what, "parameters") == 0)
        print_table("| diffusers and Ito | PyTorch | TensorFlow |", 3, parameters);
    else
        return fprintf(stderr, "usage: names places|parts|parameters\n"), 1;
    return 0;
}
