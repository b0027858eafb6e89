/* syscall() and vfork(), without a C frame: the child of a vfork, or of a clone made by syscall(), returns through
 * here on its parent's stack or on a new one. */
	.text
	.globl	syscall
	.type	syscall, @function
	.balign	16
syscall:
	.cfi_startproc
	endbr64
	cmpq	$512, %rdi		/* SYSCALL_NUMBERS */
	jae	.Lplain
	leaq	syscall_interposes(%rip), %rax
	cmpb	$0, (%rax,%rdi)
	jne	syscall_interposed	/* number and six arguments lie where a C function has its seven */
.Lplain:
	movq	%rdi, %rax
	movq	%rsi, %rdi
	movq	%rdx, %rsi
	movq	%rcx, %rdx
	movq	%r8, %r10
	movq	%r9, %r8
	movq	8(%rsp), %r9
	syscall
	cmpq	$-4095, %rax
	jae	.Lfailed
	ret
.Lfailed:				/* nobody's child here: errno may be found by a call */
	negq	%rax
	pushq	%rax
	.cfi_adjust_cfa_offset 8
	call	__errno_location@PLT
	popq	%rdx
	.cfi_adjust_cfa_offset -8
	movl	%edx, (%rax)
	movq	$-1, %rax
	ret
	.cfi_endproc
	.size	syscall, .-syscall

/* The return address is kept in a register over the call, because the child writes over the stack.  reentry_vforked
 * is counted up before, down when the parent goes on: its child shares the thread's memory, and so reads that it
 * is one. */
	.globl	vfork
	.type	vfork, @function
	.balign	16
vfork:
	.cfi_startproc
	endbr64
	movq	reentry_vforked@GOTTPOFF(%rip), %rcx
	incl	%fs:(%rcx)
	popq	%rdi
	.cfi_adjust_cfa_offset -8
	.cfi_register %rip, %rdi
	movl	$58, %eax		/* SYS_vfork */
	syscall
	pushq	%rdi
	.cfi_adjust_cfa_offset 8
	.cfi_rel_offset %rip, 0
	testl	%eax, %eax
	jz	.Lchild
	movq	reentry_vforked@GOTTPOFF(%rip), %rcx
	decl	%fs:(%rcx)
	cmpq	$-4095, %rax
	jae	.Lfailed
.Lchild:
	ret
	.cfi_endproc
	.size	vfork, .-vfork

	.section .note.GNU-stack, "", @progbits
