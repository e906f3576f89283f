/* The classes of a network by their names, as --class gives them. */
#ifndef ITO_DDPM_CLASS_NAMES_H
#define ITO_DDPM_CLASS_NAMES_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stdint.h>

/* The class of this name, in any case of its letters if one alone has it so, or of this number, if
 * no class has a number for its name; "name:WORD" is a name always. class_names is an array of
 * texts. -1 with an error recorded. */
int64_t class_named(const cJSON *class_names, const char *word);
/* Whether a class has exactly this name. */
bool class_has_name(const cJSON *class_names, const char *word);
const char *class_name(const cJSON *class_names, int64_t class);
/* On stderr: "class: boot, number 9 of 0 to 9". */
void class_say(const cJSON *class_names, int64_t class);
/* The next word of a list "bag,boot" at *rest, which moves behind it; a comma in a name is written
 * "\,". NULL at the end. The text is changed. */
char *class_list_next(char **rest);

#endif
