# Says what another file says, and ends: x86-64 Linux.
.globl _start
.text
_start:
    mov $1, %eax
    mov $1, %edi
    lea text(%rip), %rsi
    mov $size, %edx
    syscall
    mov $60, %eax
    xor %edi, %edi
    syscall
