// SPDX-License-Identifier: Apache-2.0
// Runs a fuzz target over files, without libFuzzer: replay FILE|DIRECTORY …
// Each input lies in memory of its exact length, so that a sanitizer sees a read past it.
#include <dirent.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

static size_t runs;

static int run_file(const char *path)
{
    struct stat st;
    FILE *file = fopen(path, "rb");
    if (file == NULL || fstat(fileno(file), &st) != 0) {
        perror(path);
        return 1;
    }
    size_t len = (size_t)st.st_size;
    uint8_t *bytes = malloc(len > 0 ? len : 1);
    if (bytes == NULL || fread(bytes, 1, len, file) != len) {
        perror(path);
        return 1;
    }
    fclose(file);
    // A crash must name its input.
    fprintf(stderr, "%s\n", path);
    LLVMFuzzerTestOneInput(bytes, len);
    runs++;
    free(bytes);
    return 0;
}

static int run_directory(const char *path)
{
    struct dirent **entries;
    int n = scandir(path, &entries, NULL, alphasort);
    if (n < 0) {
        perror(path);
        return 1;
    }
    int failures = 0;
    for (int i = 0; i < n; i++) {
        if (entries[i]->d_name[0] != '.') {
            char file[4096];
            snprintf(file, sizeof(file), "%s/%s", path, entries[i]->d_name);
            failures += run_file(file);
        }
        free(entries[i]);
    }
    free(entries);
    return failures;
}

int main(int count, char **arguments)
{
    int failures = 0;
    for (int i = 1; i < count; i++) {
        struct stat st;
        bool is_directory = stat(arguments[i], &st) == 0 && S_ISDIR(st.st_mode);
        failures += is_directory ? run_directory(arguments[i]) : run_file(arguments[i]);
    }
    fprintf(stderr, "%zu inputs\n", runs);
    // A test without inputs tests nothing.
    return failures > 0 || runs == 0;
}
