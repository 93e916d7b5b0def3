// SPDX-License-Identifier: Apache-2.0
// Names as people write them, and labels as DNS takes them: "john's project" → "john-s-project".
#pragma once

#include "base/err.h"
#include "base/str.h"

enum { NAME_MAX_LEN = 63, LABEL_LEN = 64 };

// A name: 1–63 characters of printable UTF-8 text (at most 63 bytes, so that its label fits DNS),
// not all digits, so that a path may take an id or a name.
int name_validate(const char *name, const char *field, struct error *error);

// Lower case, every run of other characters than a-z0-9 becomes one "-", trimmed of "-". -EINVAL
// when nothing is left.
int label_derive(struct str name, char ret_label[static LABEL_LEN]);
