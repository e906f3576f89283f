/* Pictures of the plane: points, lines and arrows on white. */
#ifndef ITO_EXAMPLES_DRAW_H
#define ITO_EXAMPLES_DRAW_H

#include <ito/tensor/tensor.h>

/* White panels side by side: u8 [3, H, W] of the current scope. */
ito_tensor *draw_panels(int panels);
/* Points [n, 2] of any float type in a panel, which shows [-1.2, 1.2] on both axes. False with an
 * error recorded. */
bool draw_points(ito_tensor *picture, int panel, ito_tensor *points);
/* Lines from points [n, 2] to others. */
bool draw_lines(ito_tensor *picture, int panel, ito_tensor *from, ito_tensor *to);
/* Arrows from points [n, 2] along vectors [n, 2], the longest one as long as `reach`. */
bool draw_arrows(ito_tensor *picture, int panel, ito_tensor *points, ito_tensor *vectors,
                 double reach);

#endif
