/* The choices of a kind as a Markdown table: name, help and source, as ito_choices gives them. Or
 * the settings of all recipes, with their place in the paper.
 *     choices KIND
 *     choices recipe_settings */
#include <ito/ito.h>
#include <stdio.h>
#include <string.h>

/* A cell: a bar would end it. */
static void print_cell(const char *text)
{
    printf(" ");
    for (; *text != '\0'; text++)
        printf(*text == '|' ? "\\%c" : "%c", *text);
    printf(" |");
}

static void print_settings(void)
{
    int64_t n;
    const ito_choice *const *recipes = ito_choices("recipe", &n);
    printf("| recipe | settings, and where the paper has them |\n| --- | --- |\n");
    for (int64_t i = 0; i < n; i++) {
        printf("| `%s` |", recipes[i]->name);
        for (const ito_recipe_setting *s = ito_recipe_find(recipes[i]->name)->settings;
             s->name != NULL; s++) {
            if (s->choice != NULL)
                printf(" %s `%s`", s->name, s->choice);
            else
                printf(" %s `%g`", s->name, s->number);
            printf(" (%s)%s", s->source, s[1].name != NULL ? "," : " |\n");
        }
    }
}

int main(int argc, char **argv)
{
    int64_t n = 0;
    if (argc == 2 && strcmp(argv[1], "recipe_settings") == 0) {
        print_settings();
        return 0;
    }
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
