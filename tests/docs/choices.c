/* The choices of a kind as a Markdown table, for docs/diffusion.md.    choices KIND */
#include <ito/ito.h>
#include <stdio.h>

int main(int argc, char **argv)
{
    int64_t n;
    const ito_choice *const *all = ito_choices(argc > 1 ? argv[1] : NULL, &n);
    if (all == NULL) {
        fprintf(stderr, "%s\n", ito_error_message());
        return 1;
    }
    printf("| name | what it is | source |\n| --- | --- | --- |\n");
    for (int64_t i = 0; i < n; i++)
        printf("| %s | %s | %s |\n", all[i]->name, all[i]->help,
               all[i]->source != NULL ? all[i]->source : "");
    return 0;
}
