/* Forward mode: tangents beside values, level by level. Internal.
 *
 * A level is one ito_jvp under way in this thread; one within another is a level above it. Each
 * tensor may have a tangent at each level. An operation whose inputs have tangents gives its result
 * one, by the rule that its row of ops.def names: a function tangent_<rule>.
 *
 * Invariant: while the tangents of a level are computed only the levels below it are seen, so a
 * tangent has tangents of lower levels, and derivatives of derivatives are kept apart.
 */
#ifndef ITO_FORWARD_H
#define ITO_FORWARD_H

#include "autograd/op.h"

enum { FORWARD_LEVELS = 4 };

/* Whether operations of this thread carry tangents along now. */
bool forward_active(void);
/* A new level; 0 with an error if there are too many. */
int forward_begin(void);
void forward_end(int level);
/* t's tangent at this level, or NULL: zero. */
ito_tensor *forward_tangent(const ito_tensor *t, int level);
/* Make it so; t is no result or parameter that others may see. false: no memory. */
bool forward_set(ito_tensor *t, int level, ito_tensor *tangent);
/* Whether t has a tangent at a level that is seen now. */
bool forward_has_tangent(const ito_tensor *t);
/* What `to`, a view of t, has besides: t's tangents. false: no memory. */
bool forward_share(ito_tensor *to, const ito_tensor *t);
/* The same for what a node keeps, until the levels end: a tangent may hold the node in turn. */
bool forward_share_for_now(ito_tensor *to, const ito_tensor *t);
/* After c gave out: its tangents. false with an error. */
bool forward_follow(op_call *c, ito_tensor *out);
/* Hide all levels until the value is given back. */
int forward_hide(void);
void forward_show(int seen);

#endif
