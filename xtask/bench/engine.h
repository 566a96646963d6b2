/* What every engine of the bench is asked for, and what the harness gives it. */
#ifndef ENGINE_H
#define ENGINE_H

#include <stddef.h>

struct bench {
    const char *library; /* the shared object to load */
    const char *model;   /* the model's file */
    int threads;
    size_t rows, columns, width; /* width: numbers that are predicted, or contributions, for a row */
    const void *data;            /* rows x columns, row-major */
    int single;                  /* whether data is f32, else f64 */
};

/* Where an engine left its predictions: count x width, row-major. */
struct answer {
    const void *data;
    int single;
};

struct engine {
    const char *name;
    void (*open)(const struct bench *);
    struct answer (*predict)(size_t first, size_t count);
};

extern const struct engine xgboost, lightgbm, lightgbm_single_row, tl2cgen, lleaves, onnxruntime, xgboost_contributions,
    lightgbm_contributions;

/* Says why on stderr, and ends the process. */
_Noreturn void die(const char *why, const char *detail);
/* A symbol of a library, loaded once. */
void *symbol(const char *library, const char *name);
void *allocate(size_t bytes);
const void *row(const struct bench *, size_t first);
/* Runs work over halves of the rows on two threads that stay, if the bench has two and rows are worth it. */
void split(const struct bench *, size_t first, size_t count, void (*work)(size_t first, size_t count, size_t to));

#endif
