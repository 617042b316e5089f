/* json.h - JSON for --json output: jansson, plus text from hostile bytes */
#ifndef COMMON_JSON_H
#define COMMON_JSON_H

#include <jansson.h>

#include <stralloc.h>

/* a JSON string of s; bytes that are not UTF-8 become U+FFFD. NULL when memory is out. */
json_t *json_bytes(const char *s);
/* "2026-01-31T09:00:00Z" */
json_t *json_time(unsigned long long epoch);
/* appends v on one line with a newline, and releases it. 0, or -1 (ENOMEM). */
int json_line(stralloc *out, json_t *v);

#endif
