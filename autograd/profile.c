/* Which row of the profile an operation's time goes to. Names and order are the table's; operations
 * from outside it follow, by name. */
#include "autograd/profile.h"

#include <pthread.h>
#include <string.h>

typedef enum pass { FORWARD, BACKWARD, IN_BACKWARD, PASSES } pass;
static const char *const pass_name[PASSES] = {"forward", "backward", "in backward"};

enum { NAME_ROOM = 28, OTHERS = 32 };

static profile_row rows[OP_COUNT][PASSES];
/* Operations that are not in the table. Their names may go before the report, so they are copied.
 */
static struct {
    char name[NAME_ROOM];
    profile_row row[PASSES];
} others[OTHERS];
static int others_count;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static void name_rows(profile_row row[PASSES], const char *name, int order)
{
    for (int p = 0; p < PASSES; p++) {
        row[p].name = name;
        row[p].pass = pass_name[p];
        row[p].order = order + p;
    }
}

static pthread_once_t once = PTHREAD_ONCE_INIT;

static void name_table(void)
{
    for (int i = 0; i < OP_COUNT; i++)
        name_rows(rows[i], op_table[i].name, PASSES * i);
}

/* A name as the report can print it, in JSON too. */
static void copy_name(char to[NAME_ROOM], const char *name)
{
    snprintf(to, NAME_ROOM, "%s", name);
    for (; *to != '\0'; to++)
        if (*to < ' ' || *to == '"' || *to == '\\')
            *to = '_';
}

/* The rows of a name that is not in the table; the last ones serve for all that found no room. */
static profile_row *rows_outside_table(const char *info_name)
{
    char name[NAME_ROOM];
    copy_name(name, info_name);
    pthread_mutex_lock(&lock);
    int i = 0;
    while (i < others_count && strcmp(others[i].name, name) != 0)
        i++;
    if (i == OTHERS) {
        i = OTHERS - 1;
    } else if (i == others_count) {
        copy_name(others[i].name, i < OTHERS - 1 ? name : "(more)");
        name_rows(others[i].row, others[i].name, PASSES * (OP_COUNT + i));
        others_count++;
    }
    pthread_mutex_unlock(&lock);
    return others[i].row;
}

static profile_row *row_of(const op_info *info, pass p)
{
    pthread_once(&once, name_table);
    for (int i = 0; i < OP_COUNT; i++)
        if (info == &op_table[i])
            return &rows[i][p];
    return &rows_outside_table(info->name)[p];
}

static bool shares_memory(const ito_tensor *t, const ito_tensor *other)
{
    return other != NULL && other->storage == t->storage;
}

/* Bytes of a result that lies in none of the call's tensors. */
static int64_t new_bytes(const ito_tensor *t, const op_call *c, const ito_tensor *dy)
{
    if (t == NULL || shares_memory(t, dy))
        return 0;
    for (int64_t i = 0; i < c->n; i++)
        if (shares_memory(t, c->in[i]))
            return 0;
    return ito_numel(t) * (int64_t)ito_dtype_size(t->dtype);
}

void profile_leave_forward(profile_frame *f, const op_call *c, const ito_tensor *out)
{
    if (!profile_entered(f))
        return;
    profile_leave(f, row_of(c->info, f->in_backward ? IN_BACKWARD : FORWARD),
                  new_bytes(out, c, NULL));
}

void profile_leave_backward(profile_frame *f, const op_call *c, const ito_tensor *dy,
                            ito_tensor *const *dx)
{
    int64_t bytes = 0;
    for (int64_t i = 0; i < c->n; i++)
        bytes += new_bytes(dx[i], c, dy);
    profile_leave(f, row_of(c->info, BACKWARD), bytes);
}
