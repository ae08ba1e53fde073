;;; trial.el --- Tries the configuration of editors/README.md  -*- lexical-binding: t -*-

;;; Commentary:

;; emacs -q --batch --load trial.el FOLDER, where LACUNA_BINARY names the server's program and FOLDER is empty.

;;; Code:

(require 'cl-lib)
(require 'package)
(package-initialize)
(require 'eglot)
(require 'rust-mode)
(require 'markdown-mode)

(setq eglot-connect-timeout 20
      eglot-sync-connect 20
      eglot-confirm-server-initiated-edits nil)

(defvar trial-folder (file-name-as-directory (car command-line-args-left)))
(setq command-line-args-left nil)

;; One entry for all modes would have older versions of eglot call every document by the first mode's language.
(dolist (mode '(rust-mode python-mode markdown-mode))
  (add-to-list 'eglot-server-programs `(,mode . (,(getenv "LACUNA_BINARY") "lsp"))))

(defvar lacuna-health nil "What the server said last: ok, warning, loading or error.")
(cl-defmethod eglot-handle-notification (_server (_method (eql lacuna/status)) &key health message &allow-other-keys)
  (setq lacuna-health health)
  (unless (equal health "ok") (message "Lacuna: %s" message)))

(defun trial-fail (format-string &rest arguments)
  "Say what is wrong, and end."
  (princ (concat "FAIL  " (apply #'format format-string arguments) "\n"))
  (kill-emacs 1))

(defun trial-wait (sentence condition)
  "Wait until CONDITION holds; when it takes too long, fail with SENTENCE."
  (let ((limit (+ (float-time) 15)))
    (while (not (funcall condition))
      (when (> (float-time) limit)
        (trial-fail "%s:\n%s" sentence (buffer-string)))
      (accept-process-output nil 0.05))))

(defun trial-uri (path)
  "The address of PATH; older versions of eglot have the function for it under a private name."
  (funcall (if (fboundp 'eglot-path-to-uri) 'eglot-path-to-uri 'eglot--path-to-uri) path))

(defun trial-open (name text)
  "Open a file NAME that holds TEXT, with the server."
  (with-temp-file (expand-file-name name trial-folder) (insert text))
  (find-file (expand-file-name name trial-folder))
  (setq lacuna-health nil)
  (eglot-ensure)
  (run-hooks 'post-command-hook)
  (trial-wait "the server does not start" #'eglot-managed-p)
  (trial-wait "the model is not loaded" (lambda () (equal lacuna-health "ok"))))

(defun trial-choose (title beginning end)
  "Choose the code action TITLE between BEGINNING and END, as a user does."
  (cl-letf ((last-nonmenu-event ?a) ; Asked for by a key, not by the mouse.
            ((symbol-function 'completing-read)
             (lambda (_prompt choices &rest _)
               (or (cl-find-if (lambda (choice) (string-prefix-p title choice))
                               (mapcar (lambda (choice) (if (consp choice) (car choice) choice)) choices))
                   (trial-fail "%s is not offered, but %S" title choices)))))
    (eglot-code-actions beginning end nil t)))

(make-directory (expand-file-name ".git" trial-folder) t)

;; The embedded model can be trusted to fill this hole, and not to fill it well.
(trial-open "a.rs" "fn numbers() {\n    let first = 0;\n    let second = 0;\n    let third = todo!();\n    let fourth = 0;\n}\n")
(princ "ok    connects\n")
(goto-char (point-min))
(search-forward "todo!")
(trial-choose "Fill this hole" (point) (point))
(trial-wait "the hole was not filled" (lambda () (not (string-match-p "todo!()" (buffer-string)))))
(unless (string-match-p "\\`fn numbers() {\n    let first = 0;\n    let second = 0;\n    let third = [^\n]*;\n    let fourth = 0;\n}\n\\'"
                        (buffer-string))
  (trial-fail "more than the hole has changed:\n%s" (buffer-string)))
(princ "ok    fills a hole by a code action\n")

(trial-open "a.md" "# Title\nSome text\n* one\n* two\n\n\n\nAnother line   \n")
(let ((before (buffer-string)))
  (eglot-execute-command (eglot-current-server) 'lacuna.formatMarkdown
                         (vector (trial-uri (buffer-file-name))))
  (trial-wait "nothing was formatted" (lambda () (not (equal before (buffer-string)))))
  (set-buffer-modified-p t)
  (save-buffer)
  (unless (zerop (call-process (getenv "LACUNA_BINARY") nil nil nil "format" "--check" (buffer-file-name)))
    (trial-fail "the command line does not call it formatted:\n%s" (buffer-string)))
  (princ "ok    formats Markdown by the command\n"))

(set-buffer-modified-p nil)
(eglot-shutdown-all)
(kill-emacs 0)

;;; trial.el ends here
