/* dnsanswers.h - what is read out of DNS answers about clients
 *
 * Pure. records is the row of records of WIRE_ANSWER (resolve/answer.h): hostile bytes. What does
 * not parse is passed over. */
#ifndef SMTPD_DNSANSWERS_H
#define SMTPD_DNSANSWERS_H

#include <stddef.h>

#include "resolve/ask.h"

#define DNSANSWERS_TEXT 200
#define DNSANSWERS_NAMES 4 /* host names of one address that are looked at */

/* the addresses in answers to A or AAAA, at most max; returns how many */
size_t dnsanswers_addresses(const char *records, size_t len, struct ip *out, size_t max);
/* the host names in an answer to PTR; returns how many */
size_t dnsanswers_names(const char *records, size_t len,
                        char out[DNSANSWERS_NAMES][ASK_NAME_MAX + 1]);
/* the first TXT record as printable ASCII without ends of line, cut; "" when there is none */
void dnsanswers_text(const char *records, size_t len, char out[DNSANSWERS_TEXT]);

#endif
