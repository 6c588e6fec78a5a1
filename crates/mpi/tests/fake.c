/* A library with the names of MPI: process 1 of 2, alone. MPI_Abort never comes back. */
#include <string.h>
#include <unistd.h>

#ifdef MPICH
int MPI_UNWEIGHTED;
#endif
#ifndef THREADS
#define THREADS 1
#endif

int MPI_Init_thread(int *argc, char ***argv, int required, int *provided) {
    *provided = THREADS;
    return 0;
}
int MPI_Comm_rank(int comm, int *rank) {
    *rank = 1;
    return 0;
}
int MPI_Comm_size(int comm, int *size) {
    *size = 2;
    return 0;
}
int MPI_Get_library_version(char *version, int *length) {
    *length = strlen(strcpy(version, "Fake\tMPI 1, of no maker\nsecond line"));
    return 0;
}
int MPI_Abort(int comm, int code) {
    for (;;)
        pause();
}
int MPI_Finalize(void) { return 0; }
int MPI_Comm_set_errhandler(int comm, int handler) { return 0; }
int MPI_Isend(void) { return 0; }
int MPI_Irecv(void) { return 0; }
int MPI_Iprobe(void) { return 0; }
int MPI_Testsome(void) { return 0; }
int MPI_Get_count(void) { return 0; }
int MPI_Error_class(void) { return 0; }
int MPI_Error_string(void) { return 0; }
