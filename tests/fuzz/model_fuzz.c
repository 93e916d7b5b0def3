// SPDX-License-Identifier: Apache-2.0
// What users send: the envelope and the bodies of REST. What is accepted must print.
#include <stdlib.h>

#include "codec/json.h"
#include "model/request.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct schema *schemas[] = {&project_schema, &load_balancer_schema, &target_group_schema};
    _Alignas(16) char object[1024];
    cleanup(json_decref_ptr) json_t *json = NULL;
    struct instance instance;
    struct request request = {0};
    struct arena arena;
    arena_init(&arena, 4096);
    json_doc_parse((struct str){(const char *)data, size}, JSON_USER_BYTES_MAX, &json, NULL);
    for (size_t i = 0; json != NULL && i < ARRAY_LEN(schemas); i++) {
        if (schema_parse(schemas[i], json, SCHEMA_CREATE, "", &arena, object, NULL) == 0) {
            free(schema_print_text(schemas[i], object));
        }
    }
    if (json != NULL && request_parse(json, &arena, &request, NULL) == 0) {
        instance_parse(&request, NULL, &arena, &instance, NULL);
    }
    request_release(&request);
    arena_reset(&arena);
    return 0;
}
