/* The choices of a kind as a Markdown table: name, help and source, as ito_choices gives them.
 *     choices KIND */
#include <ito/ito.h>
#include <stdio.h>

/* A cell: a bar would end it. */
static void print_cell(const char *text)
{
    printf(" ");
    for (; *text != '\0'; text++)
        printf(*text == '|' ? "\\%c" : "%c", *text);
    printf(" |");
}

int main(int argc, char **argv)
{
    int64_t n = 0;
    const ito_choice *const *choices = argc == 2 ? ito_choices(argv[1], &n) : NULL;
    if (choices == NULL) {
        fprintf(stderr, "%s\n", argc == 2 ? ito_error_message() : "usage: choices KIND");
        return 1;
    }
    printf("| name | what it is | source |\n| --- | --- | --- |\n");
    for (int64_t i = 0; i < n; i++) {
        printf("| `%s` |", choices[i]->name);
        print_cell(choices[i]->help);
        print_cell(choices[i]->source != NULL ? choices[i]->source : "");
        printf("\n");
    }
    return 0;
}
