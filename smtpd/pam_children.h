/* pam_children.h - questions to PAM, a process each */
#ifndef SMTPD_PAM_CHILDREN_H
#define SMTPD_PAM_CHILDREN_H

#define PAM_SERVICE_NAME "heloise"
#define PAM_MS 20000 /* for one answer; then the process is killed */

/* the channel of heloise-auth: the first or one that replaces it. 0, or -1 with errno */
int pam_children_channel(int fd);

#endif
