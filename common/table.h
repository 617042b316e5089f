/* table.h - the compiled control tables: one cdb file for all of them
 *
 * The only door to tinycdb. `heloise build` writes the file with a table_maker;
 * programs get it as a descriptor and look keys up. Keys are stored in normal form:
 * domains in lower case, networks as "ADDR/BITS". */
#ifndef COMMON_TABLE_H
#define COMMON_TABLE_H

#include <stddef.h>
#include <stdint.h>

#include "common/ip.h"

struct table;

/* a value; points into the table and lives as long as it; NUL-terminated */
struct table_value {
  const char *s;
  size_t len;
};

/* maps the file fd (which stays the caller's). NULL with errno on failure or when the
 * file is not a set of compiled tables. */
struct table *table_open(int fd);
void table_close(struct table *t);
/* a new descriptor of the file, for handing on: -1 with errno */
int table_dup(const struct table *t);

/* exact look-up of key in table `name`: 1 found, 0 not. A NULL t holds nothing. */
int table_get(const struct table *t, const char *name, const char *key, size_t len,
              struct table_value *v);
/* domain: exact name, then the longest .suffix, then "*". Any case, U-labels too. */
int table_domain(const struct table *t, const char *name, const char *domain, size_t len,
                 struct table_value *v);
/* the most specific network with this key prefix ("client:" or ""), then prefix + "*" */
int table_net(const struct table *t, const char *name, const char *prefix, const struct ip *ip,
              struct table_value *v);
/* the same, and the key that was found, as people write it: "192.0.2.0/24", "192.0.2.1", "*" */
#define TABLE_NET_KEY (IP_TEXT + 4)
int table_net_key(const struct table *t, const char *name, const char *prefix, const struct ip *ip,
                  struct table_value *v, char key[TABLE_NET_KEY]);
/* whether a table that `heloise build` made has any lines */
int table_has_lines(const struct table *t, const char *name);
/* calls f for each entry in the order they were added, until it returns non-zero,
 * which is then returned; else 0 */
int table_each(const struct table *t, const char *name,
               int (*f)(void *arg, const char *key, size_t keylen, const struct table_value *v),
               void *arg);

/* the table of tables: the names of those that have lines */
#define TABLE_OF_TABLES "tables"

struct table_maker;
/* begins a file in fd (empty, read-write; stays the caller's). NULL with errno. */
struct table_maker *table_maker_start(int fd);
/* adds an entry: 0; 1 when the key is there already (nothing is added); -1 with errno */
int table_maker_add(struct table_maker *m, const char *name, const char *key, size_t keylen,
                    const char *value, size_t valuelen);
/* the same for a network key: stored under prefix + "ADDR/BITS" */
int table_maker_add_net(struct table_maker *m, const char *name, const char *prefix,
                        const struct ip_net *net, const char *value, size_t valuelen);
/* writes the index and flushes; frees m in any case. 0, or -1 with errno. */
int table_maker_finish(struct table_maker *m);

/* length of the data of the record under a raw key, as tinycdb sees it; for the test
 * that guards against linking libowfat's cdb functions */
long table_raw_length(const struct table *t, const char *key, size_t len);

#endif
