// SPDX-License-Identifier: Apache-2.0
// What a unit test includes: cmocka with the headers it needs before it.
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
