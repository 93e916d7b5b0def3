// SPDX-License-Identifier: Apache-2.0
// Any bytes as JSON: what is accepted, printed and parsed again is the same.
#include <stdlib.h>

#include "codec/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    cleanup(json_decref_ptr) json_t *json = NULL, *again = NULL;
    struct error error = {0};
    if (json_doc_parse((struct str){(const char *)bytes, len}, 4096, &json, &error) != 0) {
        if (error.code == 0 || error.reason[0] == '\0' || error.text[0] == '\0' || json != NULL) {
            abort();
        }
        return 0;
    }
    cleanup(free_ptr) char *text = json_doc_print(json);
    if (text == NULL || json_doc_parse(str_of(text), SIZE_MAX, &again, NULL) != 0 ||
        !json_equal(json, again)) {
        abort();
    }
    return 0;
}
