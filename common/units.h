/* units.h - numbers with units, as people write them in control files */
#ifndef COMMON_UNITS_H
#define COMMON_UNITS_H

#include <stddef.h>
#include <stdint.h>
#include <stralloc.h>

/* "5m", "1h30m", "45" (seconds), "500ms" (only where ms is allowed): seconds, or
 * milliseconds with units_duration_ms. Units: ms s m h d w. 0, or -1 when it is no
 * duration or does not fit 32 bits of seconds. */
int units_duration(const char *s, size_t len, uint64_t *seconds);
int units_duration_ms(const char *s, size_t len, uint64_t *ms);
/* "10485760", "10k", "50m", "2g" (powers of 1024): bytes. 0, or -1. */
int units_size(const char *s, size_t len, uint64_t *bytes);
/* "100/1m": so many in so many milliseconds. 1 to 1000000 in one second to one day, which needs
 * its unit. 0, or -1. */
int units_rate(const char *s, size_t len, uint64_t *n, uint64_t *ms);
/* plain decimal digits; 0, or -1 */
int units_number(const char *s, size_t len, uint64_t *n);
/* writes v in decimal, NUL-terminated, into UNITS_DIGITS bytes; returns its length.
 * libowfat 0.32 declares its fmt_ulong() and the like pure, so that a compiler may take their
 * writing away. */
#define UNITS_DIGITS 24
size_t units_digits(char out[UNITS_DIGITS], uint64_t v);

/* appends v in decimal; 0, or -1 (ENOMEM). libowfat 0.32's stralloc_catulong() appends garbage. */
int units_format_number(stralloc *out, uint64_t v);
/* appends "2h30m"; 0, or -1 (ENOMEM) */
int units_format_duration(stralloc *out, uint64_t seconds);
/* appends RFC 3339 UTC, "2026-01-31T09:00:00Z" */
int units_format_time(stralloc *out, uint64_t epoch);
/* appends an RFC 5322 date in UTC, "Sat, 31 Jan 2026 09:00:00 +0000" */
int units_format_date(stralloc *out, uint64_t epoch);

#endif
