// SPDX-License-Identifier: Apache-2.0
// The files of units below the node's run directory (see runtime.h). A unit may be in the hands of
// an attacker and can make any file in its directory: nothing here follows a symbolic link in it or
// waits on a pipe, the sticky bit keeps what is ours from being replaced, and the directory is made
// anew at every start. Logs lie elsewhere, because the container's runtime gives the file behind
// its output to the unit's user.
#pragma once

#include <sys/types.h>

#include "base/err.h"

enum { UNIT_PATH_LEN = 256 };

// run_dir is the node's. -ENAMETOOLONG when it does not fit.
int unit_path(const char *run_dir, uint64_t unit_id, const char *file,
              char buffer[static UNIT_PATH_LEN]);
// An empty directory for a unit that does not run. user: the unit's (0: this process's own).
int unit_directory_make(const char *run_dir, uint64_t unit_id, uint32_t user, struct error *error);
// Writes snapshot.json whole.
int unit_snapshot_write(const char *run_dir, uint64_t unit_id, uint32_t user, const char *snapshot,
                        struct error *error);
void unit_log_path(const char *run_dir, uint64_t unit_id, char buffer[static UNIT_PATH_LEN]);
// Opens the unit's log for appending; -errno. One that has grown past 1 MiB begins anew.
int unit_log_open(const char *run_dir, uint64_t unit_id);
// Cuts a log past 4 MiB, so that a unit cannot fill the machine's memory (/run) with it.
void unit_log_cut(const char *run_dir, uint64_t unit_id);
// The last line of the log, for a person; "" when there is none or it tells of no trouble.
void unit_log_last(const char *run_dir, uint64_t unit_id, char *buffer, size_t size);
// How often the unit was started, kept across restarts of the agent (not of the machine).
uint32_t unit_starts_read(const char *run_dir, uint64_t unit_id);
void unit_starts_write(const char *run_dir, uint64_t unit_id, uint32_t starts);
void unit_pid_write(const char *run_dir, uint64_t unit_id, pid_t pid);
// With its log and its bundle.
void unit_directory_remove(const char *run_dir, uint64_t unit_id);
// The ids of all units that have a directory, in an array that the caller frees.
int unit_directories_read(const char *run_dir, uint64_t **ret_ids, size_t *ret_count);

// Removes a directory with everything in it. One that is not there is no failure.
int directory_remove(const char *path);
// Every missing part of the path; -errno.
int directory_make(const char *path, mode_t mode);
// Whole or not at all: a temporary file beside it, then rename. sync: it is on the disk afterwards.
int file_write(const char *path, const char *text, mode_t mode, bool sync);
// The whole file, ended by NUL, which the caller frees. -EFBIG past max bytes.
int file_read(const char *path, size_t max, char **ret_text, size_t *ret_len);
