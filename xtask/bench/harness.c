/* Measures an engine without Python around it.

       engines NAME THREADS LIBRARY MODEL ROWS.npy EXPECTED.npy

   loads, compares with EXPECTED.npy (of the first rows, or all) and says so in a line of JSON; then for each line "SIZE SECONDS" that it reads it
   predicts batches of SIZE rows, each the next rows of ROWS.npy, for about SECONDS, and says µs a call: of the clock, or
   with PROCESSOR_TIME in the environment of the process. */
#include "engine.h"

#include <dlfcn.h>
#include <math.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define COMPARED 4096
#define NEAR 1e-4
/* Rows below which two threads are not worth their waiting for each other. */
#define WORTH_SPLITTING 128
#define SPINS 20000
#define PART 0.0005 /* seconds */
#define MOST_PARTS 65536

static const struct engine *const engines[] = {&xgboost, &lightgbm, &lightgbm_single_row, &tl2cgen, &lleaves, &onnxruntime,
                                               &xgboost_contributions, &lightgbm_contributions};

void die(const char *why, const char *detail) {
    fprintf(stderr, "%s%s%s\n", why, detail ? ": " : "", detail ? detail : "");
    exit(1);
}

void *symbol(const char *library, const char *name) {
    static void *loaded;
    if (!loaded && !(loaded = dlopen(library, RTLD_NOW | RTLD_LOCAL))) die("can not load", dlerror());
    void *found = dlsym(loaded, name);
    if (!found) die("no such symbol", name);
    return found;
}

void *allocate(size_t bytes) {
    void *memory = aligned_alloc(64, (bytes + 63) / 64 * 64);
    if (!memory) die("out of memory", NULL);
    return memset(memory, 0, bytes);
}

const void *row(const struct bench *bench, size_t first) {
    return (const char *)bench->data + first * bench->columns * (bench->single ? 4 : 8);
}

/* A .npy of version 1 in C order: f4 or f8, two dimensions. */
static void *npy(const char *path, size_t *rows, size_t *columns, int *single) {
    FILE *file = fopen(path, "rb");
    unsigned char start[10];
    char header[65536] = {0};
    if (!file || fread(start, 1, 10, file) != 10 || memcmp(start, "\x93NUMPY\x01", 7)) die("no .npy of version 1", path);
    size_t length = start[8] | (size_t)start[9] << 8;
    if (length >= sizeof header || fread(header, 1, length, file) != length) die("cut", path);
    const char *shape = strstr(header, "'shape': (");
    if (!shape || sscanf(shape + 10, "%zu, %zu", rows, columns) != 2) die("no table", path);
    if (strstr(header, "'fortran_order': True")) die("not in row-major order", path);
    *single = strstr(header, "<f4") != NULL;
    if (!*single && !strstr(header, "<f8")) die("neither f32 nor f64", path);
    size_t bytes = *rows * *columns * (*single ? 4 : 8);
    void *data = allocate(bytes);
    if (fread(data, 1, bytes, file) != bytes) die("cut", path);
    fclose(file);
    return data;
}

/* The other thread spins for a while for its next half, then sleeps. */
static struct {
    pthread_mutex_t lock;
    pthread_cond_t called;
    atomic_uint asked, done;
    void (*work)(size_t, size_t, size_t);
    size_t first, count, to;
} other = {.lock = PTHREAD_MUTEX_INITIALIZER, .called = PTHREAD_COND_INITIALIZER};

static void *helper(void *unused) {
    (void)unused;
    for (unsigned seen = 0;; seen++) {
        for (int spins = 0; atomic_load(&other.asked) == seen && spins < SPINS; spins++) __builtin_ia32_pause();
        if (atomic_load(&other.asked) == seen) {
            pthread_mutex_lock(&other.lock);
            while (atomic_load(&other.asked) == seen) pthread_cond_wait(&other.called, &other.lock);
            pthread_mutex_unlock(&other.lock);
        }
        other.work(other.first, other.count, other.to);
        atomic_fetch_add(&other.done, 1);
    }
    return NULL;
}

void split(const struct bench *bench, size_t first, size_t count, void (*work)(size_t, size_t, size_t)) {
    static int started;
    if (bench->threads < 2 || count < WORTH_SPLITTING) {
        work(first, count, 0);
        return;
    }
    pthread_t thread;
    if (!started && pthread_create(&thread, NULL, helper, NULL)) die("no thread", NULL);
    started = 1;
    size_t half = count / 2;
    other.work = work, other.first = first + half, other.count = count - half, other.to = half;
    pthread_mutex_lock(&other.lock);
    unsigned asked = atomic_fetch_add(&other.asked, 1) + 1;
    pthread_cond_signal(&other.called);
    pthread_mutex_unlock(&other.lock);
    work(first, half, 0);
    for (int spins = 0; atomic_load(&other.done) != asked; spins++)
        spins < SPINS ? __builtin_ia32_pause() : (void)sched_yield();
}

static double now(void) {
    struct timespec time;
    clock_gettime(getenv("PROCESSOR_TIME") ? CLOCK_PROCESS_CPUTIME_ID : CLOCK_MONOTONIC, &time);
    return time.tv_sec + time.tv_nsec * 1e-9;
}

static size_t next(size_t *position, size_t size, size_t rows) {
    if (*position + size > rows) *position = 0;
    size_t first = *position;
    *position += size;
    return first;
}

static int ascending(const void *one, const void *other) {
    const double a = *(const double *)one, b = *(const double *)other;
    return (a > b) - (a < b);
}

/* Seconds a call: the lower quartile of parts that are too short for much to come between, and too long for the clock. */
static double measure(const struct engine *engine, const struct bench *bench, size_t size, double seconds) {
    static size_t position;
    static double parts[MOST_PARTS];
    size_t count = 0, calls = 1;
    const double start = now();
    for (double end = start; count < MOST_PARTS && (!count || end - start < seconds);) {
        const double from = end;
        for (size_t call = 0; call < calls; call++) engine->predict(next(&position, size, bench->rows), size);
        end = now();
        parts[count++] = (end - from) / calls;
        if (end - from < PART) calls *= 2, count = 0;
    }
    qsort(parts, count, sizeof *parts, ascending);
    return parts[count / 4];
}

static void compare(const struct engine *engine, const struct bench *bench, const double *expected, size_t rows, double load) {
    size_t differ = 0, compared = rows < COMPARED ? rows : COMPARED;
    double largest = 0;
    for (size_t first = 0, count = engine == &lightgbm_single_row ? 1 : 64; first + count <= compared; first += count) {
        struct answer answer = engine->predict(first, count);
        for (size_t at = 0; at < count; at++) {
            int near = 1;
            for (size_t of = 0; of < bench->width; of++) {
                size_t i = at * bench->width + of;
                double found = answer.single ? ((const float *)answer.data)[i] : ((const double *)answer.data)[i];
                double off = fabs(found - expected[first * bench->width + i]);
                if (!(off <= NEAR)) near = 0;
                if (off > largest) largest = off;
            }
            differ += !near;
        }
    }
    printf("{\"load_ms\": %.3f, \"compared\": %zu, \"differ\": %zu, \"largest\": %.3g}\n", load * 1e3, compared, differ, largest);
    fflush(stdout);
}

int main(int count, char **arguments) {
    if (count != 7) die("engines NAME THREADS LIBRARY MODEL ROWS EXPECTED", NULL);
    const struct engine *engine = NULL;
    for (size_t i = 0; i < sizeof engines / sizeof *engines; i++)
        if (!strcmp(engines[i]->name, arguments[1])) engine = engines[i];
    if (!engine) die("no such engine", arguments[1]);
    struct bench bench = {.threads = atoi(arguments[2]), .library = arguments[3], .model = arguments[4]};
    bench.data = npy(arguments[5], &bench.rows, &bench.columns, &bench.single);
    size_t rows;
    int single;
    const double *expected = npy(arguments[6], &rows, &bench.width, &single);
    if (rows > bench.rows || single || rows % 64) die("other rows are expected", arguments[6]);
    double start = now();
    engine->open(&bench);
    compare(engine, &bench, expected, rows, now() - start);
    size_t size;
    double seconds;
    while (scanf("%zu %lf", &size, &seconds) == 2) {
        if (!size || size > bench.rows) die("no such size", NULL);
        printf("{\"us\": %.4f}\n", measure(engine, &bench, size, seconds) * 1e6);
        fflush(stdout);
    }
    return 0;
}
