/* A transpose of a block, in squares of 8 x 8 or 4 x 4 that fit the registers. Elements are moved,
 * never computed with: any type of the same size will do. */
#include "tensor/kernels/kernels.h"
#include "tensor/kernels/vec.h"

#define KERNEL_ROW(result, name, arguments) result KERNEL(name) arguments;
#include "tensor/kernels/transpose.def"
#undef KERNEL_ROW

/* A step takes rows by twos, `apart` of each other, and gives what interleaves their lower halves
 * and their upper halves, of every 16 bytes of AVX's registers. */
#if KERNEL_BF16
enum { SIDE = 8 };
typedef uint16_t row __attribute__((vector_size(16)));
#define LOW1(a, b) __builtin_shufflevector(a, b, 0, 8, 1, 9, 2, 10, 3, 11)
#define HIGH1(a, b) __builtin_shufflevector(a, b, 4, 12, 5, 13, 6, 14, 7, 15)
#define LOW2(a, b) __builtin_shufflevector(a, b, 0, 1, 8, 9, 2, 3, 10, 11)
#define HIGH2(a, b) __builtin_shufflevector(a, b, 4, 5, 12, 13, 6, 7, 14, 15)
#define LOW4(a, b) __builtin_shufflevector(a, b, 0, 1, 2, 3, 8, 9, 10, 11)
#define HIGH4(a, b) __builtin_shufflevector(a, b, 4, 5, 6, 7, 12, 13, 14, 15)
#elif KERNEL_F64
enum { SIDE = 4 };
typedef uint64_t row __attribute__((vector_size(32)));
#define LOW1(a, b) __builtin_shufflevector(a, b, 0, 4, 2, 6)
#define HIGH1(a, b) __builtin_shufflevector(a, b, 1, 5, 3, 7)
#define LOW2(a, b) __builtin_shufflevector(a, b, 0, 1, 4, 5)
#define HIGH2(a, b) __builtin_shufflevector(a, b, 2, 3, 6, 7)
#else
enum { SIDE = 8 };
typedef uint32_t row __attribute__((vector_size(32)));
#define LOW1(a, b) __builtin_shufflevector(a, b, 0, 8, 1, 9, 4, 12, 5, 13)
#define HIGH1(a, b) __builtin_shufflevector(a, b, 2, 10, 3, 11, 6, 14, 7, 15)
#define LOW2(a, b) __builtin_shufflevector(a, b, 0, 1, 8, 9, 4, 5, 12, 13)
#define HIGH2(a, b) __builtin_shufflevector(a, b, 2, 3, 10, 11, 6, 7, 14, 15)
#define LOW4(a, b) __builtin_shufflevector(a, b, 0, 1, 2, 3, 8, 9, 10, 11)
#define HIGH4(a, b) __builtin_shufflevector(a, b, 4, 5, 6, 7, 12, 13, 14, 15)
#endif

V_FN void transpose_square(elem *y, int64_t y_row, const elem *x, int64_t x_row)
{
    row r[SIDE], s[SIDE], t[SIDE];
    for (int i = 0; i < SIDE; i++)
        memcpy(&r[i], x + i * x_row, sizeof r[i]);
    for (int i = 0; i < SIDE; i += 2) {
        s[i] = LOW1(r[i], r[i + 1]);
        s[i + 1] = HIGH1(r[i], r[i + 1]);
    }
#if KERNEL_F64
    for (int i = 0; i < 2; i++) {
        t[i] = LOW2(s[i], s[i + 2]);
        t[i + 2] = HIGH2(s[i], s[i + 2]);
    }
#else
    for (int i = 0; i < SIDE; i += 4)
        for (int j = 0; j < 2; j++) {
            r[i + 2 * j] = LOW2(s[i + j], s[i + j + 2]);
            r[i + 2 * j + 1] = HIGH2(s[i + j], s[i + j + 2]);
        }
    for (int i = 0; i < 4; i++) {
        row low = LOW4(r[i], r[i + 4]), high = HIGH4(r[i], r[i + 4]);
#if KERNEL_BF16
        t[2 * i] = low;
        t[2 * i + 1] = high;
#else
        t[i] = low;
        t[i + 4] = high;
#endif
    }
#endif
    for (int i = 0; i < SIDE; i++)
        memcpy(y + i * y_row, &t[i], sizeof t[i]);
}

V_FN void transpose_rest(elem *y, int64_t y_row, const elem *x, int64_t x_row, int64_t rows,
                         int64_t columns)
{
    for (int64_t j = 0; j < columns; j++)
        for (int64_t i = 0; i < rows; i++)
            y[j * y_row + i] = x[i * x_row + j];
}

void KERNEL(transpose)(void *y_, int64_t y_row, const void *x_, int64_t x_row, int64_t rows,
                       int64_t columns)
{
    enum { STRIPE = 64 / sizeof(elem) }; /* a cache line of x, read to its end at once */
    elem *y = y_;
    const elem *x = x_;
    for (int64_t first = 0; first < columns; first += STRIPE) {
        int64_t end = columns - first < STRIPE ? columns : first + STRIPE, i = 0;
        for (; i + SIDE <= rows; i += SIDE) {
            int64_t j = first;
            for (; j + SIDE <= end; j += SIDE)
                transpose_square(y + j * y_row + i, y_row, x + i * x_row + j, x_row);
            transpose_rest(y + j * y_row + i, y_row, x + i * x_row + j, x_row, SIDE, end - j);
        }
        transpose_rest(y + first * y_row + i, y_row, x + i * x_row + first, x_row, rows - i,
                       end - first);
    }
}
